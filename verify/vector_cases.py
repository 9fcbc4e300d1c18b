"""What conformance vectors are made of: numbers that every machine draws alike, and the cases of every operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from verify.bounded import PRECISIONS, Precision
from verify.forms import KINDS, Named

__all__ = ["FORMATS", "ROLES", "Case", "Size", "cases"]

Arrays = Mapping[str, np.ndarray]

FORMATS: dict[str, Precision] = {
    name: replace(p, repeatable=True, sums=None if p.unit < 2.0**-20 else PRECISIONS["float32"].unit)
    for name, p in PRECISIONS.items()
}
"""By name; numbers of half precision are summed in float32 and then rounded."""


@dataclass(frozen=True)
class Size:
    """n tokens of dimension d, K heads of dimension p, m atoms or hidden features."""

    name: str
    n: int
    d: int
    K: int
    m: int
    side: int
    """Of the grid of representatives."""


SMALL = Size("small", 6, 12, 3, 20, 2)
WIDE = Size("d384", 197, 384, 6, 768, 8)
WIDER = Size("d768", 197, 768, 12, 3072, 8)
CLASSES = 3
FREQUENCIES = 5


@dataclass(frozen=True, eq=False)
class Case:
    """One operator at work on one input."""

    kind: str
    near: Named
    dtype: str
    size: Size
    name: str
    reads: tuple[np.ndarray, ...]
    weights: Arrays
    constants: Mapping[str, float]
    weights_name: str
    """Cases of one kind, dtype and size with the same name here have the same weights."""


ROLES: Mapping[str, Mapping[str, str]] = {
    "attention": {
        "projection": "(K p, d); its rows k p … (k + 1) p - 1 are the transpose of U_k",
        "output": "(d, K p), W",
        "bias": "(d), b",
    },
    "cross_attention": {
        "projection": "(K p, d); its rows k p … (k + 1) p - 1 are the transpose of U_k, and map the heads back too",
        "step": "(), a factor of the result",
    },
    "ista": {"D": "(d, d), atoms in columns: in rows of tokens DZ is Z times the transpose of D"},
    "skip": {},
    "layer_norm": {"scale": "(d)", "shift": "(d)"},
    "overcomplete": {"D": "(d, m), atoms in columns", "decode": "(d, m), the second dictionary"},
    "linear": {"A": "(d, d)"},
    "tssa": {
        "projection": "(K p, d); its rows k p … (k + 1) p - 1 are the transpose of U_k",
        "scale": "(K, 1), a factor of the logits of each head",
        "denominator_bias": "(K, n), added to each of the p shares of a token before they are summed",
        "output": "(d, K p), W",
        "bias": "(d), b",
    },
    "cbsa": {
        "projection": "(K p, d); its rows k p … (k + 1) p - 1 are the transpose of U_k",
        "step_rep": "(K, 1, 1), s of the contraction",
        "step_x": "(K, 1, 1), s' of the broadcast",
        "output": "(d, K p), W",
        "bias": "(d), b",
    },
    "redunet": {"E": "(d, d)", "C": "(classes, d, d)", "shares": "(classes), γ"},
    "redunet_fourier": {
        "E": "(T, d, d, 2), a complex matrix at each frequency, real and imaginary parts along the last axis",
        "C": "(classes, T, d, d, 2)",
        "shares": "(classes), γ",
    },
    "coding_rate": {},
    "subspace_rate": {"projection": "(K p, d); its rows k p … (k + 1) p - 1 are the transpose of U_k"},
    "rate_reduction": {},
    "qkv_attention": {
        "query": "(K p, d)",
        "key": "(K p, d)",
        "value": "(K p, d)",
        "output": "(d, K p), W",
        "bias": "(d), b",
    },
    "passed_on": {},
    "mlp": {"fc1": "(m, d)", "fc1_bias": "(m)", "fc2": "(d, m)", "fc2_bias": "(d)"},
}
"""Weights of each kind, in words."""

READS: Mapping[str, tuple[str, ...]] = {
    "cross_attention": ("the tokens Z", "the queries Q"),
    "skip": ("the tokens Z", "what the block made of them", "the tokens behind LayerNorm"),
    "rate_reduction": ("the tokens Z", "memberships (n, classes)"),
    "redunet_fourier": ("spectra (n, d, T, 2) of signals of d channels, real and imaginary parts along the last axis",),
}
"""What an operator reads, where it is not the tokens ``(n, d)`` alone."""


def cases(kind: str, dtype: str, *, realistic: bool) -> Iterator[Case]:
    """Every case of a kind in a format."""
    for near in KINDS[kind].named:
        yield from _small(kind, near, dtype)
        wanted = "float64" if kind in _RATES else "float32"  # in which bounds of rates say enough
        if kind not in _SMALL_ALONE and (realistic or dtype == wanted):
            for size in (WIDE, WIDER) if realistic else (WIDE,):
                yield _case(kind, near, dtype, size, "ordinary", _tokens(kind, size))


def _small(kind: str, near: Named, dtype: str) -> Iterator[Case]:
    for name, Z in _inputs(kind, SMALL).items():
        yield _case(kind, near, dtype, SMALL, name, Z)
    for name, (changed, constants, Z) in _special(kind, SMALL).items():
        case = _case(kind, near, dtype, SMALL, name, Z)
        p = FORMATS[dtype]
        weights = {**case.weights, **{role: p.rounded(a) for role, a in changed.items() if role in case.weights}}
        yield replace(case, weights=weights, constants={**case.constants, **constants}, weights_name=name)


def _case(kind: str, near: Named, dtype: str, size: Size, name: str, Z: np.ndarray) -> Case:
    p = FORMATS[dtype]
    roles = _roles(kind, near)
    weights = {role: p.rounded(a) for role, a in _weights(kind, size).items() if role in roles}
    if "denominator_bias" in weights:
        weights["denominator_bias"] = weights["denominator_bias"][:, : len(Z)]
    reads = tuple(p.rounded(a) for a in (Z, *_beside(kind, name, size, Z)))
    own = name if "denominator_bias" in weights else "ordinary"
    return Case(kind, near, dtype, size, name, reads, weights, _constants(kind, size), own)


def _roles(kind: str, near: Named) -> set[str]:
    """What this form is given; of the others some would be ignored."""
    left_out = {
        "crate.mssa-paper": {"output", "bias"},
        "depict.mssa": {"output", "bias"},
        "alpha.ista-paper": {"decode"},
        "tost.tssa": {"denominator_bias"},
        "tost.tssa-paper": {"scale", "denominator_bias", "output", "bias"},
        "transformer.attention-tied": {"query", "key"},
        "alpha.ista-as-mlp": {"fc2_bias"},
    }
    return set(ROLES[kind]) - left_out.get(near.slug, set())


def _constants(kind: str, size: Size) -> dict[str, float]:
    match kind:
        case "attention" | "cross_attention" | "tssa" | "qkv_attention":
            return {"heads": size.K}
        case "ista" | "overcomplete":
            return {"eta": 0.1, "lam": 0.1}
        case "cbsa":
            return {"heads": size.K, "side": size.side}
        case "redunet" | "redunet_fourier":
            return {"eta": 0.5, "lam": 4.0}
        case "coding_rate":
            return {"eps": 0.5}
        case "subspace_rate":
            return {"eps": 0.5, "heads": size.K}
        case "rate_reduction":
            return {"eps": 0.5, "inner": 1.0, "outer": 1.0, "penalty": 0.001}
    return {}


def _weights(kind: str, size: Size) -> Arrays:
    d, m, inner = size.d, size.m, size.d
    shapes = {
        "projection": (inner, d),
        "query": (inner, d),
        "key": (inner, d),
        "value": (inner, d),
        "output": (d, inner),
        "bias": (d,),
        "shift": (d,),
        "A": (d, d),
        "D": (d, m) if kind == "overcomplete" else (d, d),
        "decode": (d, m),
        "E": (d, d),
        "C": (CLASSES, d, d),
        "fc1": (m, d),
        "fc1_bias": (m,),
        "fc2": (d, m),
        "fc2_bias": (d,),
        "step": (),
        "step_rep": (size.K, 1, 1),
        "step_x": (size.K, 1, 1),
        "denominator_bias": (size.K, _count(kind, size)),
        "scale": (d,) if kind == "layer_norm" else (size.K, 1),
        "shares": (CLASSES,),
    }
    if kind == "redunet_fourier":
        shapes |= {"E": (FREQUENCIES, d, d, 2), "C": (CLASSES, FREQUENCIES, d, d, 2)}
    found = {}
    for role in ROLES[kind]:
        a = drawn(f"{kind}/{size.name}/{role}", shapes[role])
        match role:
            case "scale":
                a = 1 + a / 8
            case "shares":
                a = np.array([0.5, 0.25, 0.25])
            case "denominator_bias":
                a = np.abs(a) / 8
            case "E" | "C":
                a = a / 2 ** round(np.log2(d) / 2 + 1)
            case "projection" | "query" | "key" if kind in ("attention", "cross_attention", "qkv_attention", "cbsa"):
                a = a / 2 ** (round(np.log2(d) / 2) + 1)  # so that no softmax is sharp
            case _ if len(shapes[role]) == 2:
                a = a / 2 ** round(np.log2(shapes[role][1]) / 2)
        found[role] = a
    return found


def _count(kind: str, size: Size) -> int:
    return 17 if kind == "cbsa" and size is SMALL else size.n  # a square of tokens and one more


def _tokens(kind: str, size: Size) -> np.ndarray:
    more = (FREQUENCIES, 2) if kind == "redunet_fourier" else ()
    Z = drawn(f"{kind}/{size.name}/tokens", (_count(kind, size), size.d, *more))
    return Z / 2 ** round(np.log2(size.d) / 2) if kind in _ON_THE_SPHERE else Z


_SMALL_ALONE = ("skip", "passed_on", "redunet_fourier")
"""Kinds that work entry by entry, or frequency by frequency."""
_RATES = ("coding_rate", "subspace_rate", "rate_reduction")
_ON_THE_SPHERE = ("redunet", "redunet_fourier", *_RATES)
"""Kinds whose tokens have norms about one."""


def _inputs(kind: str, size: Size) -> dict[str, np.ndarray]:
    Z = _tokens(kind, size)
    outlier = Z.copy()
    outlier[0] *= 16
    return {
        "ordinary": Z,
        "one-token": Z[:1],
        "equal-tokens": np.repeat(Z[:1], len(Z), axis=0),
        "equal-features": np.repeat(Z[:, :1], size.d, axis=1),
        "zeros": np.zeros_like(Z),
        "one-zero": np.concatenate([Z[:-1], 0 * Z[-1:]]),
        "outlier": outlier,
        "small": Z / 2**10,
        "tiny": Z / 2**40,
        "large": Z * 2**3,
        "huge": Z * 2**40,
    }


def _special(kind: str, size: Size) -> dict[str, tuple[Arrays, Mapping[str, float], np.ndarray]]:
    """Cases with weights of their own: name to the weights and constants that change, and the tokens."""
    Z, d = _tokens(kind, size), size.d
    ties = np.resize([0.125, -0.125, 0.25, 0.0, 0.5, -1.0, 0.125], Z.shape)
    match kind:
        case "ista":
            return {"threshold-ties": ({"D": np.eye(d)}, {"eta": 0.5, "lam": 0.25}, ties)}
        case "overcomplete":
            return {"threshold-ties": ({"D": np.eye(d, size.m)}, {"eta": 0.5, "lam": 0.25}, ties)}
        case "attention" | "cross_attention":
            return {"equal-logits": ({"projection": np.zeros((d, d))}, {}, Z)}
        case "qkv_attention":
            zero = np.zeros((d, d))
            return {"equal-logits": ({"query": zero, "value": drawn("qkv/value", (d, d)) / 4}, {}, Z)}
        case "tssa":
            head = drawn("tssa/head", (d // size.K, d)) / 4
            return {"equal-logits": ({"projection": np.tile(head, (size.K, 1)), "scale": np.ones((size.K, 1))}, {}, Z)}
        case "cbsa":
            return {"equal-logits": ({"projection": np.zeros((d, d))}, {}, Z)}
        case "rate_reduction":
            return {"regularised": ({}, {"inner": 2.0, "outer": 0.5, "penalty": 0.25}, Z)}
    return {}


def _beside(kind: str, name: str, size: Size, Z: np.ndarray) -> tuple[np.ndarray, ...]:
    """What is read besides the tokens."""
    if kind == "skip":
        return tuple(drawn(f"skip/{size.name}/{part}", Z.shape) for part in ("update", "normed"))
    if kind == "cross_attention":
        return (drawn(f"{kind}/{size.name}/queries", (4, size.d)),)
    if kind == "rate_reduction":
        labels = np.eye(CLASSES)[np.arange(len(Z)) % (1 if name == "equal-tokens" else CLASSES)]
        soft = 0.5 * labels + 0.5 * np.roll(labels, 1, axis=1)
        return (soft if name == "outlier" else labels,)
    return ()


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of variance 4/3 about zero, multiples of 2^-15 below 4, from raw bits seeded by a name."""
    seed = int.from_bytes(sha256(name.encode()).digest(), "big")
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(int(np.prod(shape)))
    parts = sum((raw >> np.uint64(16 * i)).astype(np.uint16).astype(np.int64) for i in range(4))
    return ((parts - 2 * 65535) / 2.0**15).reshape(shape)
