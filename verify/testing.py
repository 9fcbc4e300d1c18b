"""Assertions for other people's test suites: that code is a known form, and that a layer descends.

A whole test file, for a torch implementation of CRATE and a layer of one's own::

    import numpy as np
    import torch

    import srr
    from verify.testing import assert_descends, assert_matches


    class MyIsta(torch.nn.Module):
        def __init__(self, d):
            super().__init__()
            self.D = torch.nn.Parameter(torch.randn(d, d, dtype=torch.float64) / d**0.5)

        def forward(self, z):
            return torch.relu(z + 0.1 * (z - z @ self.D.T) @ self.D - 0.1 * 0.5)


    def test_my_ista_is_that_of_crate():
        layer = MyIsta(16)
        assert_matches(layer, "crate.ista", weights={"D": layer.D}, constants={"eta": 0.1, "lam": 0.5})


    def test_my_attention_is_that_of_crate():
        rng = np.random.default_rng(0)
        W, out, bias = rng.standard_normal((12, 12)), rng.standard_normal((12, 12)), rng.standard_normal(12)

        def attention(z):
            y = (z @ W.T).reshape(*z.shape[:-1], 3, 4).swapaxes(-2, -3)
            logits = y @ y.swapaxes(-1, -2) / 4**0.5
            shares = np.exp(logits - logits.max(-1, keepdims=True))
            heads = shares / shares.sum(-1, keepdims=True) @ y
            return heads.swapaxes(-2, -3).reshape(*z.shape[:-1], 12) @ out.T + bias

        weights = {"projection": W, "output": out, "bias": bias}
        assert_matches(attention, "crate.mssa", weights=weights, constants={"heads": 3})


    def test_my_layer_descends():
        mixture = srr.mixtures.sample(n=32, d=8, K=2, p=3, noise=0.1, seed=0)
        objective = srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1)
        assert_descends(srr.layers.descent(mixture.U, eps=0.5, lam=0.1), objective, mixture.draws(20))

What fails says what the code computes instead, or shows the smallest tokens on which the layer rises. With
``pytest_plugins = ["verify.pytest_plugin"]`` in a ``conftest.py``, tests get the two functions as the fixtures
``assert_matches`` and ``assert_descends``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from verify.comparison import Subject, found_of, words
from verify.forms import KINDS, named

if TYPE_CHECKING:
    import srr

__all__ = ["assert_descends", "assert_matches"]


def assert_matches(
    f: Callable[..., Any],
    form: str,
    *,
    weights: Mapping[str, Any] | None = None,
    constants: Mapping[str, float] | None = None,
    inputs: Sequence[Any] | None = None,
    like: Any = None,
    seed: int = 0,
) -> None:
    """That a function computes a known form: to within what rounding explains, and on inputs that tell forms apart.

    Parameters
    ----------
    f : torch Module or callable
        Takes tokens ``(2, n, d)``, a batch of two, and gives an array. A Module is called in evaluation mode.
    form : str
        The slug of the form that it should be, such as ``"crate.ista"``: `verify.forms.KINDS` has them all.
    weights, constants : mapping
        What the form is given, by the names that forms of this kind have for them; the README of
        ``srr vectors export`` lists these.
    inputs : sequence, optional
        What to call it on instead: arrays, or tuples of them for operators that read several; numbers of its dtype.
    like : array, optional
        An array of the library, dtype and device that f takes; by default a parameter of the Module, a weight, or
        NumPy float64.
    seed : int

    Raises
    ------
    AssertionError
        It computes something else; the message says what.
    ValueError
        An unknown form; weights that are missing, or do not tell the dimension, so that inputs must be given.
    """
    near = named(form)
    kind = next(name for name, entry in KINDS.items() if near in entry.named)
    if inputs is not None:
        inputs = [reads if isinstance(reads, tuple) else (reads,) for reads in inputs]
    name = getattr(f, "__name__", type(f).__name__)
    subject = Subject(f, kind, dict(weights or {}), dict(constants or {}), name, inputs, form=form, like=like)
    found = found_of(subject, seed).match
    if not found.passes:
        raise AssertionError("\n  ".join((f"{name} must be {form}:", *words(found))))


def assert_descends(
    layer: srr.Layer, objective: srr.SparseRateReduction, instances: Iterable[Any], **options: Any
) -> None:
    """That each half of a layer, and the whole of it, lowers what it promises to lower.

    Parameters
    ----------
    layer, objective, instances, **options
        As in `verify.check_descent`.

    Raises
    ------
    AssertionError
        Some promise is broken, kept under a condition alone, or undecided; the message is the report, with the smallest
        tokens found on which it is broken.
    TypeError, ValueError
        As `verify.check_descent` does.
    """
    from verify.descent import check_descent
    from verify.ledger import HOLDS

    report = check_descent(layer, objective, instances, **options)
    if report.verdict is not HOLDS:
        raise AssertionError(f"{report.layer} must descend:\n{report}")
