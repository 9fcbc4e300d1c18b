"""A network with the parts of its layers: what an audit runs, and what it reads off the weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srr.layer import HALVES, Layer, PreNorm
from verify.auditing import nulls
from verify.auditing.half import Half
from verify.auditing.weights import of_weights
from verify.layouts import LAYOUTS, LayerParts, Layout, Tap, constants_of, recognise


@dataclass(frozen=True, eq=False)
class Network:
    """A torch module and the parts of its layers."""

    model: nn.Module
    parts: tuple[LayerParts, ...]
    dtype: torch.dtype | None
    """In which tokens are taken: that of the weights, or float32 if they have half of its digits; None for any."""

    @classmethod
    def of(cls, model: nn.Module, layout: Layout | str | None, constants: Mapping[str, Any]) -> Network:
        """Read the parts of a module's layers by a layout, by default the one that its state dict fits.

        Constants that are not given are those that the parts of the module hold (`verify.layouts.constants_of`).

        Raises
        ------
        ValueError
            No such layout; the weights are of another kind, or not finite; a layer has no bases.
        """
        if isinstance(layout, str):
            if layout not in LAYOUTS:
                raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
            layout = LAYOUTS[layout]
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch module, got {type(model).__name__}")
        state = {name: a.detach() for name, a in model.state_dict().items()}
        for name, a in state.items():
            if not bool(torch.isfinite(a).all()):
                raise ValueError(f"the weights must be finite, got some of {name!r} that are not")
        layout = recognise(state) if layout is None else layout
        constants = constants_of(model, layout) | dict(constants)
        floats = [a.dtype for a in state.values() if a.is_floating_point()]
        dtype = None if not floats else floats[0] if floats[0] in (torch.float32, torch.float64) else torch.float32
        state = {name: a.to(dtype) if a.is_floating_point() else a for name, a in state.items()}
        parts = layout.layers(state, **constants)
        for part in parts:
            if part.U is None:
                raise ValueError(f"every layer must have bases to be audited by, got none in layer {part.index + 1}")
        return cls(model, parts, dtype)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Where its tokens can be seen."""
        return tuple(dict.fromkeys(tap for part in self.parts for tap in (part.before, part.between, part.after)))

    def halves(self, *, dtype: torch.dtype, seed: int, lam: float) -> tuple[tuple[Half, Tap, Tap], ...]:
        """Every half in order, with the taps before and after it, and its controls; measures are in ``dtype``."""
        found = []
        with torch.no_grad():
            U = [part.U.to(dtype) for part in self.parts]
            for i, part in enumerate(self.parts):
                other = _distant(i, [a.shape[1] for a in U])
                bases = nulls.bases(U[i], None if other is None else U[other], i, seed=seed)
                places = (part.before, part.between, part.after)
                for name, before, after in zip(part.order, places[:-1], places[1:], strict=True):
                    own = name == "sparsify" and codes(part)
                    D = part.D.to(dtype) if own else None
                    dictionaries = {}
                    if own:
                        dictionaries = {"rotated dictionary": nulls.rotated(D, i, seed=seed)}
                        if other is not None and codes(self.parts[other]):
                            dictionaries["another layer's dictionary"] = self.parts[other].D.to(dtype)
                    half = Half(
                        layer=i,
                        half=name,
                        norm=part.norms[HALVES.index(name)],
                        adds=name in residual(part),
                        U=U[i],
                        bases=bases,
                        D=D,
                        dictionaries=dictionaries,
                        lam=float(getattr(_inner(part), "lam", lam)),
                    )
                    found.append((half, before, after))
        return tuple(found)

    def weights(self, dtype: torch.dtype) -> tuple[dict[str, float], ...]:
        """`of_weights` of every layer."""
        with torch.no_grad():
            return tuple(
                of_weights(part.U.to(dtype), *(None if a is None else a.to(dtype) for a in (part.output, part.D)))
                for part in self.parts
            )


def residual(part: LayerParts) -> tuple[str, ...]:
    """The halves that add to their tokens: both, unless srr has the layer and says otherwise."""
    return HALVES if part.layer is None else getattr(part.layer, "residual", Layer.residual)


def codes(part: LayerParts) -> bool:
    """Whether the second half gives a code of its tokens in D: it adds to nothing, and D has d atoms."""
    square = part.D is not None and part.U is not None and tuple(part.D.shape) == (part.U.shape[1],) * 2
    return square and part.layer is not None and "sparsify" not in residual(part)


def untrained(model: nn.Module, *, seed: int) -> nn.Module:
    """A copy of a module with weights as before training.

    Submodules that know how are asked to (``reset_parameters``); parameters of others are drawn anew from a normal
    distribution with the mean and the standard deviation that they have.
    """
    twin = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in twin.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                parameter.copy_(_as_spread_out(parameter))
    return twin


def _as_spread_out(a: Tensor) -> Tensor:
    drawn = torch.randn(a.shape).to(a)
    return a.mean() + (a.std() * drawn if a.numel() > 1 else 0 * drawn)


def _distant(i: int, widths: list[int]) -> int | None:
    """The layer half the depth further on, round the end, among those of the same width; None if there is no other."""
    alike = [j for j, width in enumerate(widths) if width == widths[i]]
    place = alike.index(i)
    other = alike[(place + max(1, len(alike) // 2)) % len(alike)]
    return None if other == i else other


def _inner(part: LayerParts) -> Any:
    return part.layer.layer if isinstance(part.layer, PreNorm) else part.layer
