"""What ``srr descend`` is to unroll: tokens, bases, a dictionary and layers, from a few options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import srr
from srr._arrays import count, positive, require_bases, require_shape
from verify import digits, files, layer_families, subspaces
from verify.layer_families import FAMILIES, Setting


@dataclass(frozen=True)
class Tokens:
    """Which tokens, and which bases, dictionary and labels for them; None where nothing was asked for."""

    data: str
    tokens: str | None
    bases: str | None
    dictionary: str | None
    labels: str | None
    n: int | None
    d: int | None
    K: int | None
    p: int | None
    noise: float | None
    coherence: str | None
    scale: float
    seed: int


@dataclass(frozen=True)
class Choice:
    """Which layers."""

    family: str
    eps: float
    lam: float
    kappa: float | None
    eta: float | None
    pre_norm: bool
    layers: int


@dataclass(frozen=True, eq=False)
class Problem:
    """Tokens, an objective and layers, with words for where they come from."""

    Z: np.ndarray
    objective: srr.SparseRateReduction
    layers: tuple[srr.Layer, ...]
    choice: Choice
    tokens_said: str
    bases_said: str


def load(wanted: Tokens, choice: Choice) -> Problem:
    """Read or draw what is wanted.

    Raises
    ------
    ValueError, TypeError
        An option that cannot be met, or that does not go with another.
    """
    count(wanted.seed, "seed", least=0)
    Z, U, tokens_said, bases_said = _tokens_and_bases(wanted)
    Z, Pi = _scaled(Z, wanted.scale), None
    if FAMILIES[choice.family].labelled:
        Z, Pi = srr.redunet.on_sphere(Z), _memberships(wanted, Z, U)
    else:
        _leave_out(wanted, choice.family, "labels")
    objective = srr.SparseRateReduction(U, choice.eps, choice.lam)
    D = _dictionary(wanted, U)
    steps = {name: step for name, step in (("kappa", choice.kappa), ("eta", choice.eta)) if step is not None}
    layers = layer_families.build(choice.family, Setting(Z, objective, D, Pi, choice.layers, steps))
    if choice.pre_norm:
        layers = tuple(map(srr.layers.PreNorm, layers))
    return Problem(Z, objective, layers, choice, tokens_said, bases_said)


# --- tokens and bases -------------------------------------------------------------------------------------------


def _tokens_and_bases(wanted: Tokens) -> tuple[np.ndarray, np.ndarray, str, str]:
    if wanted.tokens is not None:
        return _from_files(wanted)
    if wanted.bases is not None:
        raise ValueError("bases must go with tokens, got bases alone")
    if wanted.data == "digits":
        return _from_digits(wanted)
    return _from_mixture(wanted)


def _scaled(Z: np.ndarray, scale: float) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled = Z * positive(scale, "scale")
    if not np.isfinite(scaled).all():
        raise ValueError(f"scale must leave the tokens finite in {Z.dtype}, got {scale!r}")
    return scaled


def _from_files(wanted: Tokens) -> tuple[np.ndarray, np.ndarray, str, str]:
    _leave_out(wanted, "tokens", "n", "d", "noise", "coherence")
    if wanted.data != "mixture":
        raise ValueError(f"data must be left out with tokens, got {wanted.data!r}")
    assert wanted.tokens is not None
    Z = files.load(wanted.tokens, "tokens", key="Z")
    require_shape(Z, ("n", "d"), "tokens")
    n, d = Z.shape
    said = f"{n} tokens of dimension {d} from {wanted.tokens}"
    if wanted.bases is None:
        return Z, *_fitted(wanted, Z, Z, said, "these tokens")
    _leave_out(wanted, "bases", "K", "p")
    U = files.load(wanted.bases, "bases", key="U")
    if U.dtype != Z.dtype:
        raise ValueError(f"bases must be {Z.dtype} as the tokens are, got {U.dtype}")
    require_bases(U, d, "bases")
    return Z, U, said, f"{len(U)} of dimension {U.shape[2]} from {wanted.bases}"


def _from_digits(wanted: Tokens) -> tuple[np.ndarray, np.ndarray, str, str]:
    _leave_out(wanted, "data digits", "d", "noise", "coherence")
    n = count(64 if wanted.n is None else wanted.n, "n")
    Z, everything = digits.patches(n, seed=wanted.seed)
    said = f"{n} patches, 4 x 4 pixels of unit norm, of scikit-learn's digits"
    return Z, *_fitted(wanted, Z, everything, said, f"all {len(everything)} patches")


def _from_mixture(wanted: Tokens) -> tuple[np.ndarray, np.ndarray, str, str]:
    mixture = _mixture(wanted)
    (n, d), (K, _, p) = mixture.Z.shape, mixture.U.shape
    said = f"{n} tokens of dimension {d}, a mixture of Gaussian subspaces, noise {mixture.law.noise:g}"
    return mixture.Z, mixture.U, said, f"{K} of dimension {p}, {_coherence(wanted)}, those of the mixture"


def _mixture(wanted: Tokens) -> srr.mixtures.Mixture:
    n = 64 if wanted.n is None else wanted.n
    d = count(16 if wanted.d is None else wanted.d, "d")
    K, p = _sizes(wanted, d)
    noise = 0.1 if wanted.noise is None else wanted.noise
    return srr.mixtures.sample(n=n, d=d, K=K, p=p, noise=noise, coherence=_coherence(wanted), seed=wanted.seed)


def _coherence(wanted: Tokens) -> str:
    return wanted.coherence or "orthogonal"


def _memberships(wanted: Tokens, Z: np.ndarray, U: np.ndarray) -> np.ndarray:
    """From the labels given, those of the mixture, or else the nearest of the subspaces; no class is empty."""
    if wanted.labels is not None:
        labels = files.load_labels(wanted.labels, len(Z))
    elif wanted.tokens is None and wanted.data == "mixture":
        labels = _mixture(wanted).labels
    else:
        labels = srr.redunet.nearest_subspace(Z, np.linalg.qr(U)[0])
    present = np.unique(labels)
    return (labels[:, None] == present).astype(Z.dtype)


def _fitted(wanted: Tokens, Z: np.ndarray, everything: np.ndarray, said: str, to: str) -> tuple[np.ndarray, str, str]:
    K, p = _sizes(wanted, Z.shape[1])
    U = subspaces.fit(everything, K, p, seed=wanted.seed)
    share = subspaces.kept(Z, U)
    return U, said, f"{K} of dimension {p}, fitted to {to} (K-subspaces: {100 * share:.0f} % kept)"


def _sizes(wanted: Tokens, d: int) -> tuple[int, int]:
    K = count(4 if wanted.K is None else wanted.K, "K")
    p = count(max(1, d // K) if wanted.p is None else wanted.p, "p")
    if p > d:
        raise ValueError(f"p must be <= d = {d}, got {p}")
    return K, p


def _leave_out(wanted: Tokens, given: str, *names: str) -> None:
    for name in names:
        value = getattr(wanted, name)
        if value is not None:
            raise ValueError(f"{name} must be left out with {given}, got {value!r}")


def _dictionary(wanted: Tokens, U: np.ndarray) -> np.ndarray:
    d = U.shape[1]
    if wanted.dictionary is None:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(wanted.seed, spawn_key=(1,))))
        return np.linalg.qr(np.hstack([*U, rng.standard_normal((d, d)).astype(U.dtype)]))[0]
    D = files.load(wanted.dictionary, "dictionary", key="D")
    if D.dtype != U.dtype:
        raise ValueError(f"dictionary must be {U.dtype} as the tokens are, got {D.dtype}")
    require_shape(D, (d, d), "dictionary")
    return D
