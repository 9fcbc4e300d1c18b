"""Certificates: that each half of a layer, and the whole of it, lowered what it promises to lower, on one input.

A certificate holds all numbers that it speaks of, so that it can be checked alone: by ``srr certify --check`` in ball
and exact arithmetic (``verify.recheck``), and where no logarithm is left by ``check_exact.py``, a script that needs
nothing but Python. It is about stated numbers: the tokens that the layer returned on this input, rounded as they were,
are *the* output.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import cattrs
import numpy as np
from flint import fmpq, fmpq_mat

import srr
from srr._arrays import namespace, require_shape
from srr.layer import PreNorm, require_layer
from verify import check_exact
from verify.archives import require_file
from verify.counterexample import halves
from verify.decide import Decision, as_float64
from verify.promises import Array, promises_of

FORMAT = "srr certificate 1"
SUBJECT = "The tokens that the layer returned on this input, as the floats they are, are taken as its output."
LARGEST_FILE = 2**26
"""Bytes of a file that is read."""

QUANTITIES: Mapping[str, Mapping[str, int | str]] = {
    "Rc": {"Rc": 1},
    "Rc - R": {"Rc": 1, "R": -1},
    "|Z|_1": {"l1": 1},
    "lam|Z|_1 - R": {"l1": "lam", "R": -1},
    "lasso": {"l1": "lam", "residual": 1},
    "loss": {"Rc": 1, "R": -1, "l1": "lam"},
}
"""What a statement's quantity is, as a sum of terms: R(A), Rc(A|U), |A|_1 and the residual ½|Z - A Dᵀ|², for the tokens
A and those before, Z; ``lam`` is the statement's weight."""


@dataclass(frozen=True)
class Numbers:
    """An array as the floats it holds, written exactly."""

    shape: tuple[int, ...]
    dtype: str
    """Of the array as it was; the numbers are the same in float64."""
    sha256: str
    """Of the entries as little-endian float64."""
    values: str
    """The entries in hexadecimal, as ``float.fromhex`` reads them, the last axis fastest."""


@dataclass(frozen=True)
class Exact:
    """Two rational numbers, ``"numerator/denominator"`` in hexadecimal, that differ as the quantity does.

    For rates, exp(2 · quantity): the product of det(I + β U_kᵀZᵀZU_k), divided by det(I + α ZᵀZ) where R is taken off.
    For norms and residuals the quantity itself.
    """

    before: str
    after: str


@dataclass(frozen=True)
class Statement:
    """That a quantity's change from the array ``before`` to ``after`` has a sign and lies between two floats.

    Attributes
    ----------
    half : str
        ``"compress"``, ``"sparsify"`` or ``"layer"``.
    quantity : str
        One of `QUANTITIES`.
    before, after : str
        Names among the certificate's arrays.
    lam : str or None
        The weight of the norm, ``"p/q"``, where there is one.
    sign : int or None
        -1, 0 or 1; None where undecided.
    lower, upper : float or None
        In nats for rates; None where unbounded.
    method : str
        What decided it.
    exact : Exact or None
        A proof by rational numbers, where the quantity has one and is small.
    """

    half: str
    quantity: str
    before: str
    after: str
    lam: str | None
    sign: int | None
    lower: float | None
    upper: float | None
    method: str
    exact: Exact | None

    @property
    def kept(self) -> bool:
        """Whether the quantity is certified not to have risen."""
        return self.sign is not None and self.sign <= 0


@dataclass(frozen=True)
class Certificate:
    """What a layer did to one token set, in statements that can be checked.

    Attributes
    ----------
    format, subject : str
        How to read the file, and what it is about.
    layer : str
        Its class; for the reader, nothing rests on it.
    eps : str
        The precision ε as a rational number ``"p/q"``; α = d/(n ε²) and β = p/(n ε²).
    arrays : mapping
        ``input``, ``half`` and ``output``, tokens ``(n, d)``; ``U``, bases ``(K, d, p)``; ``D``, a dictionary, for the
        lasso; and ``normed``, the tokens that a second half with LayerNorm begins with.
    statements : tuple of Statement
    """

    format: str
    subject: str
    layer: str
    eps: str
    arrays: Mapping[str, Numbers]
    statements: tuple[Statement, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise of the layer is certified kept."""
        return all(statement.kept for statement in self.statements)


def certify_descent(layer: srr.Layer, objective: srr.SparseRateReduction, Z: Array) -> Certificate:
    """Certify what becomes of each promise of a layer on one input.

    Parameters
    ----------
    layer : Layer
        Anything with the pure methods ``compress`` and ``sparsify``; its promises are those of `promises_of`.
    objective : SparseRateReduction
        U, ε and λ to measure with.
    Z : array, shape (n, d)
        Of the library, dtype and device of U.

    Returns
    -------
    Certificate
        Of every promise: kept, broken or undecided.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or shape; a layer that returns tokens which are not finite.

    Examples
    --------
    >>> mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, seed=0)
    >>> objective = srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1)
    >>> certify_descent(srr.layers.descent(mixture.U, eps=0.5, lam=0.1), objective, mixture.Z).kept
    True
    """
    require_layer(layer, "layer")
    if not isinstance(objective, srr.SparseRateReduction):
        raise TypeError(f"objective must be a SparseRateReduction, got {type(objective).__name__}")
    namespace(Z=Z, U=objective.U)
    require_shape(Z, ("n", objective.U.shape[1]), "Z")
    steps = halves(layer, Z)
    tokens = {"input": Z, "half": steps["compress"][1], "output": steps["sparsify"][1]}
    for name, a in tokens.items():
        if not np.isfinite(as_float64(a, name)).all():
            raise ValueError(f"layer must return finite tokens, got {name} tokens that are not")
    places = {"compress": ("input", "half"), "sparsify": ("half", "output"), "layer": ("input", "output")}
    inner, start = _unwrapped(layer, tokens["half"])
    arrays = {**tokens, "U": objective.U}
    statements = []
    for promise in promises_of(layer, objective):
        before, after = places[promise.half]
        decision = promise.change(tokens[before], tokens[after])
        quantity, lam = promise.quantity.partition(",")[0], objective.lam
        if quantity not in QUANTITIES:
            raise ValueError(f"layer must promise one of {', '.join(QUANTITIES)}, got {promise.quantity}")
        if promise.half == "sparsify" and start is not tokens["half"]:
            before, arrays["normed"] = "normed", start
        if quantity == "lasso":
            lam, arrays["D"] = float(inner.lam), inner.D
        statements.append(_statement(promise.half, quantity, before, after, lam, decision, arrays, objective.eps))
    stored = {name: _numbers(a, name) for name, a in arrays.items()}
    return Certificate(FORMAT, SUBJECT, type(layer).__name__, _ratio(objective.eps), stored, tuple(statements))


def _unwrapped(layer: srr.Layer, half: Array) -> tuple[srr.Layer, Array]:
    """The layer inside of LayerNorm, and the tokens that its second half is given."""
    while isinstance(layer, PreNorm):
        layer, half = layer.layer, layer.second(half)
    return layer, half


def _statement(
    half: str,
    quantity: str,
    before: str,
    after: str,
    lam: float,
    decision: Decision,
    arrays: Mapping[str, Array],
    eps: float,
) -> Statement:
    weighted = "lam" in QUANTITIES[quantity].values()
    return Statement(
        half,
        quantity,
        before,
        after,
        _ratio(lam) if weighted else None,
        decision.sign,
        decision.lower if math.isfinite(decision.lower) else None,
        decision.upper if math.isfinite(decision.upper) else None,
        decision.method,
        _exact(quantity, arrays, before, after, Fraction(float(lam)), Fraction(float(eps))),
    )


def _numbers(a: Array, name: str) -> Numbers:
    values = np.ascontiguousarray(as_float64(a, name))
    digest = hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()
    dtype = str(a.dtype).rpartition(".")[2]  # torch.float32
    return Numbers(values.shape, dtype, digest, " ".join(map(float.hex, values.ravel().tolist())))


def _ratio(x: float) -> str:
    return "{}/{}".format(*float(x).as_integer_ratio())


# --- the exact part ---------------------------------------------------------------------------------------------


def _exact(
    quantity: str, arrays: Mapping[str, Array], before: str, after: str, lam: Fraction, eps: Fraction
) -> Exact | None:
    weights = {term: lam if weight == "lam" else Fraction(weight) for term, weight in QUANTITIES[quantity].items()}
    weights = {term: weight for term, weight in weights.items() if weight}
    n, d = arrays["input"].shape
    rates, others = weights.keys() & {"R", "Rc"}, weights.keys() - {"R", "Rc"}
    if (rates and others) or min(n, d) > check_exact.SIDE or arrays["U"].shape[0] > check_exact.HEADS:
        return None
    if max(n * d, *(math.prod(arrays[name].shape[-2:]) for name in ("U", "D") if name in arrays)) > check_exact.ENTRIES:
        return None
    start, U = _rational_matrix(as_float64(arrays[before], "before")), as_float64(arrays["U"], "U")
    values = []
    for name in (before, after):
        A = _rational_matrix(as_float64(arrays[name], name))
        if rates:
            values.append(_product(A, [_rational_matrix(basis) for basis in U], weights, _fmpq(1 / eps**2)))
        else:
            D = _rational_matrix(as_float64(arrays["D"], "D")) if "residual" in weights else None
            values.append(_penalty(A, start, D, weights))
    return Exact(*map(_hexadecimal, values))


def _product(A: fmpq_mat, U: list[fmpq_mat], weights: Mapping[str, Fraction], over: fmpq) -> fmpq:
    n, d, p = A.nrows(), A.ncols(), U[0].ncols()
    value = fmpq(1)
    if "Rc" in weights:
        for basis in U:
            value *= _det(A * basis, fmpq(p, n) * over)
    return value / _det(A, fmpq(d, n) * over) if "R" in weights else value


def _det(Y: fmpq_mat, c: fmpq) -> fmpq:
    gram = Y * Y.transpose() if Y.nrows() < Y.ncols() else Y.transpose() * Y
    M = gram * c
    for i in range(M.nrows()):
        M[i, i] += 1
    return M.det()


def _penalty(A: fmpq_mat, start: fmpq_mat, D: fmpq_mat | None, weights: Mapping[str, Fraction]) -> fmpq:
    value = _fmpq(weights.get("l1", Fraction(0))) * sum((abs(x) for x in A.entries()), fmpq(0))
    if D is not None:
        value += sum((r * r for r in (start - A * D.transpose()).entries()), fmpq(0)) / 2
    return value


def _rational_matrix(a: np.ndarray) -> fmpq_mat:
    return fmpq_mat(*a.shape, [fmpq(*x.as_integer_ratio()) for x in a.ravel().tolist()])


def _fmpq(x: Fraction) -> fmpq:
    return fmpq(x.numerator, x.denominator)


def _hexadecimal(x: fmpq) -> str:
    return f"{int(x.p):x}/{int(x.q):x}"


# --- files --------------------------------------------------------------------------------------------------------


def to_json(certificate: Certificate) -> str:
    """The certificate as JSON text, the same bytes for the same certificate."""
    return json.dumps(asdict(certificate), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def from_json(text: str) -> Certificate:
    """The certificate in a file that `to_json` wrote; nothing in it has been checked but its form.

    Raises
    ------
    ValueError
        Not the text of a certificate.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int):
        converter.register_structure_hook(kind, _as_it_is)
    converter.register_structure_hook(float, lambda value, _: float(_as_it_is(value, float)))
    try:
        certificate = converter.structure(json.loads(text, parse_constant=_no_number), Certificate)
    except Exception as error:  # whatever shape the file has
        reasons = cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [str(error)]
        raise ValueError(f"a certificate must be a file that `srr certify` wrote: {reasons[0][:200]}") from error
    if certificate.format != FORMAT:
        raise ValueError(f"a certificate must have the format {FORMAT!r}, got {certificate.format[:40]!r}")
    return certificate


def _as_it_is(value: object, kind: type) -> object:
    """cattrs alone would turn one into the other."""
    if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
        raise TypeError(f"must be {kind.__name__}, got {type(value).__name__}")
    return value


def _no_number(word: str) -> float:
    raise ValueError(f"numbers must be finite, got {word}")


def read(path: Path) -> Certificate:
    """The certificate in a file.

    Raises
    ------
    ValueError
        There is no such file, it is too large, or holds no certificate.
    """
    require_file(path, "check")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"check must be a file of at most {LARGEST_FILE} bytes, got {path.stat().st_size}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"check must be a file that `srr certify` wrote: {error}") from error
    return from_json(text)
