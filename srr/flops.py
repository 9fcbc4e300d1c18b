"""What a layer costs: the flops of its matrix products on n tokens, two for each multiply-add.

Softmax, shrinkage, LayerNorm and additions are left out. So are the factorisations of the exact step, one of a q × q
matrix for each head, q = min(n, p), and the norm in the default step of a rule, the same for any number of tokens.

    attention          4 n d K p + 4 n² K p        with K p = d half of it is 2nd² + 2n²d multiply-adds
    exact, neumann     4 n d K p + 4 n p q K       linear in the number of tokens
    ISTA, a step       4 n d m                     m atoms; from a code that is not zero
    ISTA from zero     2 n d m (2T − 1)            T steps
"""

from __future__ import annotations

from functools import singledispatch

from srr._arrays import count
from srr.causal import CausalOvercomplete
from srr.crate import Crate, Official
from srr.crate_alpha import STEPS, Alpha, AlphaOfficial
from srr.decoder import Decoder, DecoderOfficial
from srr.descent import Descent
from srr.layer import Layer, PreNorm

__all__ = ["attention", "gradient", "ista", "ista_step", "of_layer"]


def attention(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 4 n² K p: projection and output, Gram matrices and weighted means.

    Parameters
    ----------
    n, d, K, p : int
        Tokens, dimension, heads and their dimension, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return 4 * n * d * K * p + 4 * n * n * K * p


def gradient(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 4 n p q K, q = min(n, p): the gradient of Rᶜ(Z|U) less K factorisations, and its Neumann form.

    Parameters, result and errors as in `attention`.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return 4 * n * d * K * p + 4 * n * p * min(n, p) * K


def ista_step(n: int, d: int, m: int) -> int:
    """4 n d m: what the code leaves of the tokens, and its products with the atoms.

    Parameters
    ----------
    n, d, m : int
        Tokens, dimension and atoms, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, m = _sizes(n=n, d=d, m=m)
    return 4 * n * d * m


def ista(n: int, d: int, m: int, iterations: int) -> int:
    """2 n d m (2T − 1): T steps of `prox.ista`, the first of which has nothing to reconstruct.

    Parameters
    ----------
    n, d, m, iterations : int
        Tokens, dimension, atoms and T, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, m, T = _sizes(n=n, d=d, m=m, iterations=iterations)
    return 2 * n * d * m * (2 * T - 1)


def of_layer(layer: Layer, n: int) -> int:
    """Both halves of a layer on n tokens.

    Parameters
    ----------
    layer : Layer
        Of a kind that srr has.
    n : int
        Tokens, at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A layer of another kind; an n that is no whole number, or below 1.
    """
    return _flops(layer, count(n, "n"))


@singledispatch
def _flops(layer: Layer, n: int) -> int:
    raise TypeError(f"layer must be of a kind whose flops are known, got {type(layer).__name__}")


@_flops.register
def _(layer: Crate, n: int) -> int:
    K, d, p = layer.U.shape
    if "implicit" in layer.rule:
        raise TypeError(f"layer must have a rule whose flops are known, got {layer.rule!r}")
    compress = gradient if layer.rule in ("exact", "neumann") else attention
    return compress(n, d, K, p) + ista_step(n, d, d)


@_flops.register
def _(layer: Official, n: int) -> int:
    K, d, p = layer.U.shape
    return attention(n, d, K, p) + ista_step(n, d, d)


@_flops.register(Alpha)
@_flops.register(AlphaOfficial)
@_flops.register(CausalOvercomplete)
def _(layer: Alpha | AlphaOfficial | CausalOvercomplete, n: int) -> int:
    (K, d, p), m = layer.U.shape, layer.D.shape[1]
    return attention(n, d, K, p) + ista(n, d, m, STEPS) + _product(n, d, m)


@_flops.register(Decoder)
@_flops.register(DecoderOfficial)
def _(layer: Decoder | DecoderOfficial, n: int) -> int:
    K, d, p = layer.U.shape
    return attention(n, d, K, p) + _product(n, d, d)


@_flops.register
def _(layer: Descent, n: int) -> int:
    K, d, p = layer.objective.U.shape
    return gradient(n, d, K, p) + 2 * _product(n, d, min(n, d))  # R is the rate of one head that takes no projection


@_flops.register
def _(layer: PreNorm, n: int) -> int:
    return _flops(layer.layer, n)


def _product(n: int, d: int, m: int) -> int:
    return 2 * n * d * m


def _sizes(**sizes: int) -> tuple[int, ...]:
    return tuple(count(size, name) for name, size in sizes.items())
