"""A ReduNet built forward from labelled tokens of a mixture, and what its layers do to tokens it has not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import srr
from srr._arrays import count
from srr.redunet import class_subspaces, construct, nearest_subspace, on_sphere, soft_memberships
from verify.output import write_all

SAVED_EVERY = 1.0
"""Seconds between two states on disk."""


@dataclass(frozen=True)
class Settings:
    """The mixture and the network; all but ``layers`` must be the same when a construction goes on."""

    n: int
    d: int
    K: int
    p: int
    noise: float
    coherence: str
    rule: str
    eps: float
    eta: float
    sharpness: float
    seed: int
    layers: int

    @property
    def kept(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if name != "layers"})


@dataclass(frozen=True)
class Row:
    """The features after a layer. Of held-out tokens, where nothing else is said."""

    layer: int
    reduction: float
    """ΔR of the training features, nats."""
    held_out_reduction: float
    cosine: float
    """Mean |cos| of the angle between a held-out feature and the training features of other classes."""
    nearest: float
    """Share that the nearest subspace of dimension p, fitted to the training features, puts into the right class."""
    estimated: float
    """Share for which the estimated membership of the next layer is largest for the right class."""


@dataclass(frozen=True, eq=False)
class State:
    """All that a construction needs to go on."""

    layer: int
    Z: np.ndarray
    held_out: np.ndarray
    rows: tuple[Row, ...]


def run(settings: Settings, path: Path | None = None, on_layer: Callable[[int], Any] = lambda _: None) -> list[Row]:
    """Build the layers, from where ``path`` left off if it is there; the rows at layers 0, 1, 2, 5, 10, … and the last.

    Raises
    ------
    ValueError, TypeError
        A setting that cannot be met; a state of another construction, or of more layers.
    """
    count(settings.layers, "layers")
    mixture = srr.mixtures.sample(
        **{name: getattr(settings, name) for name in ("n", "d", "K", "p", "noise", "coherence", "seed")}
    )
    other = mixture.draw(1)
    labels = mixture.labels, other.labels
    state = State(0, on_sphere(mixture.Z), on_sphere(other.Z), ())
    if path is not None and path.exists():
        state = load(path, settings)
        on_layer(state.layer)
    left = settings.layers - state.layer
    network = {name: getattr(settings, name) for name in ("rule", "eps", "eta", "sharpness")}
    if not state.rows:
        state = replace(state, rows=(_row(state, labels, settings),))
    saved = time.monotonic()
    for layer, Z in construct(state.Z, mixture.Pi, layers=left, **network) if left else ():
        for_any = layer if settings.rule != "gradient" else replace(layer, rule="network")
        state = State(state.layer + 1, Z, for_any(state.held_out), state.rows)
        if _is_shown(state.layer):
            state = replace(state, rows=(*state.rows, _row(state, labels, settings)))
        if path is not None and (state.layer == settings.layers or time.monotonic() - saved > SAVED_EVERY):
            save(path, state, settings)
            saved = time.monotonic()
        on_layer(1)
    last = [] if state.rows[-1].layer == state.layer else [_row(state, labels, settings)]
    return [*state.rows, *last]


def save(path: Path, state: State, settings: Settings) -> None:
    """Write a state, whole or not at all."""
    written = BytesIO()
    rows = json.dumps([asdict(row) for row in state.rows])
    np.savez(written, Z=state.Z, held_out=state.held_out, layer=state.layer, rows=rows, settings=settings.kept)
    write_all([(path, written.getvalue())])


def load(path: Path, settings: Settings) -> State:
    """Read a state back.

    Raises
    ------
    ValueError
        It is no such file, or that of another construction, or of one with more layers.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            rows = tuple(Row(**row) for row in json.loads(str(file["rows"])))
            state, kept = State(int(file["layer"]), file["Z"], file["held_out"], rows), str(file["settings"])
    except Exception as error:  # NumPy and zipfile have many ways to refuse a broken file
        raise ValueError(f"state must be a whole file that this command wrote, got {path}") from error
    if kept != settings.kept:
        raise ValueError(f"state must be of the same construction, got {path} of {kept}")
    if state.layer > settings.layers:
        raise ValueError(f"layers must be >= {state.layer}, as many as {path} has, got {settings.layers}")
    return state


def _is_shown(layer: int) -> bool:
    return str(layer).rstrip("0") in ("1", "2", "5")


def _row(state: State, labels: tuple[np.ndarray, np.ndarray], settings: Settings) -> Row:
    train, test = labels
    Pi, other = (np.eye(settings.K)[label] for label in labels)
    Z, X, eps = state.Z, state.held_out, settings.eps
    nearest = nearest_subspace(X, class_subspaces(Z, Pi, settings.p))
    estimated = soft_memberships(X, srr.redunet.operators(Z, Pi, eps=eps)[1], sharpness=settings.sharpness)
    apart = test[:, None] != train
    return Row(
        state.layer,
        float(srr.rate_reduction(Z, Pi=Pi, eps=eps)),
        float(srr.rate_reduction(X, Pi=other, eps=eps)),
        float(np.mean(np.abs(X @ Z.T)[apart])) if apart.any() else 0.0,
        float(np.mean(nearest == test)),
        float(np.mean(estimated.argmax(axis=1) == test)),
    )
