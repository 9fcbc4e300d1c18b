"""CRATE as a plain function in JAX, whose values carry tags, its layout, and what can be wrong with it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from verify.layouts import Half, Stack, Tap, describe

DIM, HEADS, DEPTH, ETA, LAM = 12, 3, 2, 0.1, 0.1


def layout(norms, **more):
    """Of blocks whose LayerNorms are at these two places."""
    return describe(
        "mine",
        Stack(
            "blocks/{i}/",
            (
                Half(
                    "compress",
                    "attention",
                    Tap(norms[0], "input"),
                    "attend",
                    lambda w: {"projection": w["attend/U"].T, "output": w["attend/out"].T, "bias": w["attend/bias"]},
                    {"heads": "heads"},
                    norm=norms[0],
                    form="crate.mssa",
                ),
                Half(
                    "sparsify",
                    "ista",
                    Tap(norms[1], "input"),
                    "code",
                    lambda w: {"D": w["code/D"]},
                    {"eta": "eta", "lam": "lam"},
                    norm=norms[1],
                    skip=False,
                    form="crate.ista",
                ),
            ),
            end=Tap("code", "output"),
        ),
        source="us",
        sheet=f"""
            blocks/{{i}}/{norms[0]}/scale  d
            blocks/{{i}}/{norms[0]}/bias   d
            blocks/{{i}}/attend/U      d m
            blocks/{{i}}/attend/out    m d
            blocks/{{i}}/attend/bias   d
            blocks/{{i}}/{norms[1]}/scale  d
            blocks/{{i}}/{norms[1]}/bias   d
            blocks/{{i}}/code/D        d d
        """,
        constants={"heads": None, "eta": ETA, "lam": LAM},
        **more,
    )


LAYOUT = layout(("attend/norm", "code/norm"), alone=True)


def parameters(dtype="float32"):
    rng = np.random.default_rng(3)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape) / (shape[0] ** 0.5 if len(shape) > 1 else 1), dtype)

    def norm():
        return {"scale": 1 + 0.1 * draw(DIM), "bias": 0.1 * draw(DIM)}

    def block():
        attend = {"norm": norm(), "U": draw(DIM, 15), "out": draw(15, DIM), "bias": draw(DIM)}
        return {"attend": attend, "code": {"norm": norm(), "D": draw(DIM, DIM)}}

    return {"blocks": [block() for _ in range(DEPTH)]}


def norm(p, z, floor=1e-5):
    centred = z - z.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + floor) * p["scale"] + p["bias"]


def attend(p, z, fault):
    U = p["U"][:, ::-1] if fault == "the heads turned round" else p["U"]
    Y = z @ (U.reshape(HEADS, -1, DIM).mT.reshape(15, DIM).T if fault == "the projection reshaped" else U)
    Y = Y.reshape(*z.shape[:-1], HEADS, -1).swapaxes(-2, -3)
    scale = {"no scale": 1.0, "scale 1/p": 1 / 5}.get(fault, 5**-0.5)
    axis = {"softmax over the queries": -2, "softmax over the heads": -3}.get(fault, -1)
    heads = jax.nn.softmax(scale * Y @ Y.mT, axis=axis) @ Y
    return heads.swapaxes(-2, -3).reshape(*z.shape[:-1], -1) @ p["out"] + (0 if fault == "no bias" else p["bias"])


def code(p, z, fault):
    D = p["D"].T if fault == "D transposed" else p["D"]
    residual = {"no residual": z, "no gradient": 0 * z, "the residual added": z + z @ D.T}.get(fault, z - z @ D.T)
    t = {"lambda missing": 0.0, "lambda squared": ETA * LAM**2, "twice the threshold": 2 * ETA * LAM}.get(fault)
    return jax.nn.relu(z + ETA * residual @ D - (ETA * LAM if t is None else t))


def crate(fault="", *, tags=True):
    """``f(params, tokens)``; of every value one tag, or none."""

    def tagged(value, name, i):
        return checkpoint_name(value, name.format(f"blocks/{i}")) if tags else value

    def f(params, z):
        for i, p in enumerate(params["blocks"]):
            z = tagged(z, "input of {}/attend/norm", i)
            y = tagged(norm(p["attend"]["norm"], z), "output of {}/attend/norm", i)
            y = tagged(attend(p["attend"], y, fault), "output of {}/attend", i)
            z = {"no skip": y, "the update taken off": z - y, "half the sum": (z + y) / 2}.get(fault, z + y)
            z = jnp.clip(z, -100, 100) if fault == "later tokens clipped" and i == 1 else z
            z = tagged(z, "input of {}/code/norm", i)
            floor = 1e-10 if fault == "the floor squared" else 1e-5
            y = tagged(norm(p["code"]["norm"], z, floor), "output of {}/code/norm", i)
            z = tagged(code(p["code"], y, fault), "output of {}/code", i)
        return 2 * z if fault == "what comes out is scaled" else z

    return f
