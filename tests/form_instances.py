"""Weights, constants and inputs of every kind of operator, from a seed."""

import numpy as np

N, D, K, P, M, CLASSES, T = 6, 12, 3, 4, 20, 3, 5


def weights(kind, seed=0, slug=""):
    """What forms of this kind, or that of this name, are given, generic enough to tell them apart."""
    rng = np.random.default_rng([seed, 31])

    def normal(*shape, scale=1.0):
        return scale * rng.standard_normal(shape)

    projection = normal(K * P, D, scale=D**-0.5)
    output, bias = normal(D, K * P, scale=D**-0.5), normal(D)
    match kind:
        case "attention":
            return {"projection": projection, "output": output, "bias": bias}
        case "cross_attention":
            return {"projection": projection, "output": output, "bias": bias, "step": np.array(0.7)}
        case "ista":
            return {"D": normal(D, D, scale=D**-0.5)}
        case "skip" | "passed_on" | "coding_rate" | "rate_reduction":
            return {}
        case "layer_norm":
            return {"scale": 1 + normal(D, scale=0.1), "shift": normal(D)}
        case "overcomplete":
            return {"D": normal(D, M, scale=D**-0.5), "decode": normal(D, M, scale=D**-0.5)}
        case "linear":
            return {"A": normal(D, D, scale=D**-0.5)}
        case "tssa":
            if slug == "tost.tssa-paper":
                return {"projection": projection, "output": output, "bias": bias}
            extra = {"denominator_bias": 0.1 * rng.random((K, N))} if slug == "tost.tssa-causal" else {}
            return {"projection": projection, "scale": 1 + rng.random((K, 1)), "output": output, "bias": bias, **extra}
        case "cbsa":
            steps = {"step_rep": normal(K, 1, 1), "step_x": normal(K, 1, 1)}
            return {"projection": projection, "output": output, "bias": bias, **steps}
        case "redunet":
            return {
                "E": normal(D, D, scale=0.3),
                "C": normal(CLASSES, D, D, scale=0.3),
                "shares": np.array([0.5, 0.3, 0.2]),
            }
        case "redunet_fourier":  # of real filters; complex numbers are pairs
            E, *C = (_pairs(np.fft.fftn(normal(T, 4, 4, scale=0.3), axes=(0,))) for _ in range(1 + CLASSES))
            return {"E": E, "C": np.stack(C), "shares": np.array([0.5, 0.3, 0.2])}
        case "subspace_rate":
            return {"projection": projection}
        case "qkv_attention":
            parts = {name: normal(K * P, D, scale=D**-0.5) for name in ("query", "key", "value")}
            return {**parts, "output": output, "bias": bias}
        case "mlp":
            return {
                "fc1": normal(M, D, scale=D**-0.5),
                "fc1_bias": normal(M),
                "fc2": normal(D, M, scale=M**-0.5),
                "fc2_bias": normal(D),
            }


CONSTANTS = {
    "attention": {"heads": K},
    "cross_attention": {"heads": K},
    "ista": {"eta": 0.3, "lam": 0.2},
    "layer_norm": {"floor": 3e-4},
    "overcomplete": {"eta": 0.3, "lam": 0.2},
    "tssa": {"heads": K},
    "cbsa": {"heads": K, "side": 2},
    "redunet": {"eta": 0.5, "lam": 2.0},
    "redunet_fourier": {"eta": 0.5, "lam": 2.0},
    "coding_rate": {"eps": 0.3},
    "subspace_rate": {"eps": 0.3, "heads": K},
    "rate_reduction": {"eps": 0.3, "penalty": 0.01, "inner": 1.5, "outer": 0.7},
    "qkv_attention": {"heads": K},
}


def constants(kind):
    return CONSTANTS.get(kind, {})


def _pairs(v):
    return np.stack([v.real, v.imag], axis=-1)


def reads(kind, seed=0, scale=1.0, batch=()):
    """What an operator of this kind reads."""
    rng = np.random.default_rng([seed, 32])
    n = 17 if kind == "cbsa" else N
    Z = scale * (rng.standard_normal((*batch, n, D)) + 0.1)
    if kind == "redunet_fourier":
        return (_pairs(np.fft.fft(scale * rng.standard_normal((n, 4, T)), norm="ortho")),)
    if kind == "skip":
        return (Z, rng.standard_normal(Z.shape), rng.standard_normal(Z.shape))
    if kind == "cross_attention":
        return (Z, scale * rng.standard_normal((*batch, N - 1, D)))
    if kind == "rate_reduction":
        Pi = np.exp(rng.standard_normal((*batch, n, CLASSES)))
        return (Z, Pi / Pi.sum(-1, keepdims=True))
    return (Z,)
