"""CRATE-α in Flax under the names of its checkpoints, and CRATE in modules of `flax.nnx`: right, and with faults."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx
from jax_networks import attend, code, layout, parameters

DIM, HEADS, ATOMS, DEPTH = 12, 3, 20, 2


class MultiHeadDotProductSubspaceAttention(nn.Module):
    """[softmax(p^−½ Y_kY_kᵀ) Y_k]_k Wᵀ."""

    num_heads: int
    fault: str = ""

    @nn.compact
    def __call__(self, x):
        d = x.shape[-1]
        p = d // self.num_heads
        Y = nn.DenseGeneral((self.num_heads, p), use_bias=False, name="proj")(x)
        logits = (1.0 if self.fault == "no scale" else p**-0.5) * jnp.einsum("bnhp,bmhp->bhnm", Y, Y)
        axis = 1 if self.fault == "softmax over the heads" else -1
        if self.fault == "a causal mask":
            logits = jnp.where(jnp.tril(jnp.ones(logits.shape[-2:], bool)), logits, -jnp.inf)
        mixed = jnp.einsum("bhnm,bmhp->bnhp", nn.softmax(logits, axis=axis), Y)
        if self.fault == "half precision inside":
            mixed = mixed.astype(jnp.float16).astype(x.dtype)
        if self.fault == "heads in another order":
            mixed = mixed[:, :, ::-1]
        return nn.DenseGeneral(d, axis=(-2, -1), use_bias=False, name="out")(mixed)


class OvercompleteISTABlock(nn.Module):
    """Two ISTA steps from zero in D, and D₁ takes the code back."""

    eta: float = 0.1
    lmbda: float = 0.1
    fault: str = ""

    @nn.compact
    def __call__(self, x):
        D, D1 = (self.param(name, nn.initializers.he_uniform(), (x.shape[-1], ATOMS)) for name in ("D", "D1"))
        t = 0.0 if self.fault == "lambda missing" else self.eta * self.lmbda
        sign = -1 if self.fault == "the gradient goes uphill" else 1
        z1 = nn.relu(sign * self.eta * x @ D - t)
        z2 = nn.relu(z1 + sign * self.eta * (x - z1 @ D.T) @ D - t)
        return z2 @ (D if self.fault == "one dictionary" else D1).T


class Block(nn.Module):
    """Z + attention(N(Z)), then Z + ISTA(N(Z))."""

    fault: str = ""

    @nn.compact
    def __call__(self, x):
        floor = 1e-5 if self.fault == "the floor of torch" else 1e-6
        y = nn.LayerNorm(epsilon=floor, name="LayerNorm_0")(x)
        attend = MultiHeadDotProductSubspaceAttention(HEADS, self.fault, name="MultiHeadDotProductSubspaceAttention_0")
        y = attend(y)
        x = y if self.fault == "no skip" else x - y if self.fault == "the update taken off" else x + y
        y = nn.LayerNorm(epsilon=floor, name="LayerNorm_1")(x)
        y = OvercompleteISTABlock(fault=self.fault, name="OvercompleteISTABlock_0")(y)
        if self.fault == "large tokens are clipped":
            return jnp.clip(x + y, -1e5, 1e5)
        return x + y


class Encoder(nn.Module):
    fault: str = ""

    @nn.compact
    def __call__(self, x):
        x = 2 * x if self.fault == "what comes in is scaled" else x
        shared = Block(self.fault, name="encoderblock_0") if self.fault == "a shared layer" else None
        for i in range(DEPTH):
            block = Block(self.fault, name=f"encoderblock_{i}") if shared is None else shared
            x = block(x)
        return x


class CrateAlpha(nn.Module):
    """Images ``(b, H, W, c)`` to logits."""

    fault: str = ""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(DIM, (2, 2), strides=2, padding="VALID", name="embedding")(images)
        x = x.reshape(len(x), -1, DIM)
        cls = self.param("cls", nn.initializers.normal(1.0), (1, 1, DIM))
        x = jnp.concatenate([jnp.tile(cls, (len(x), 1, 1)), x], axis=1)
        x = x + self.param("pos_embedding", nn.initializers.normal(1.0), (1, x.shape[1], DIM))
        x = Encoder(self.fault, name="Transformer")(x)
        return nn.Dense(5, name="head")(nn.LayerNorm(name="encoder_norm")(x[:, 0]))


def crate_alpha(fault=""):
    """The module, and parameters of which none is one or zero by construction."""
    shapes = jax.eval_shape(CrateAlpha().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    rng = np.random.default_rng(0)
    return CrateAlpha(fault), jax.tree.map(
        lambda a: jnp.asarray(rng.standard_normal(a.shape) / max(1, a.shape[0] if len(a.shape) > 1 else 1) ** 0.5),
        shapes,
    )


class Attend(nnx.Module):
    """The attention of `jax_networks`."""

    def __init__(self, p, fault):
        self.U, self.out, self.bias = (nnx.Param(p[name]) for name in ("U", "out", "bias"))
        self.num_heads, self.fault = HEADS, fault

    def __call__(self, z):
        return attend({name: getattr(self, name)[...] for name in ("U", "out", "bias")}, z, self.fault)


class Code(nnx.Module):
    """Its ISTA step."""

    def __init__(self, p, fault):
        self.D, self.fault = nnx.Param(p["D"]), fault

    def __call__(self, z):
        return code({"D": self.D[...]}, z, self.fault)


class Louder(Code):
    """A class that calls its parent, and one that leaves it as it is."""

    def __call__(self, z):
        return super().__call__(z)


def _norm(p):
    found = nnx.LayerNorm(DIM, epsilon=1e-5, rngs=nnx.Rngs(0))
    found.scale, found.bias = nnx.Param(p["scale"]), nnx.Param(p["bias"])
    return found


class CrateBlock(nnx.Module):
    def __init__(self, p, fault):
        self.norm1, self.attend = _norm(p["attend"]["norm"]), Attend(p["attend"], fault)
        self.norm2, self.code = _norm(p["code"]["norm"]), Louder(p["code"], fault)
        self.fault = fault

    def __call__(self, z):
        if self.fault == "weights taken without a call":
            y = attend({name: getattr(self.attend, name)[...] for name in ("U", "out", "bias")}, self.norm1(z), "")
        else:
            y = self.attend(self.norm1(z))
        z = y if self.fault == "no skip" else z + y
        return self.code(self.norm2(z))


class Crate(nnx.Module):
    """Tokens to tokens."""

    def __init__(self, fault=""):
        self.blocks = nnx.List([CrateBlock(p, fault) for p in parameters()["blocks"]])

    def __call__(self, z):
        for block in self.blocks:
            z = block(z)
        return z


CRATE = layout(("norm1", "norm2"), alone=True)
