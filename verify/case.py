"""One description of a claim's instances, four ways to go through them.

A check asks its `Case` for named numbers. Who answers is the driver: independent draws under a seed
(`Sample`), a hypothesis search that shrinks (`Search`), the record of an earlier instance (`Replay`), or such
a record with its real numbers moved (`Vary`). So the instances that are sampled, searched and replayed are the
same by construction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from verify.arrays import Arrays

SEEDS = 2**32


class Rejected(Exception):
    """The instance is outside the claim's hypotheses."""


class StaleWitness(ValueError):
    """A recorded instance that the check no longer asks for: a name missing, left over, or out of range."""


class Driver(Protocol):
    """Answers a check's questions."""

    def integer(self, name: str, lo: int, hi: int) -> int: ...
    def uniform(self, name: str, lo: float, hi: float) -> float: ...
    def log_uniform(self, name: str, lo: float, hi: float) -> float: ...
    def choice(self, name: str, options: Sequence[Any]) -> Any: ...
    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Condition:
    """Where this instance lies: inside iff ``value < bound``; ``along`` names the draw that moves it."""

    name: str
    value: float
    bound: float
    along: str = ""

    @property
    def inside(self) -> bool:
        return self.value < self.bound


@dataclass(frozen=True)
class Instance:
    """A mixture of Gaussian subspaces at some scale and precision.

    Attributes
    ----------
    Z
        Tokens, (n, d).
    U
        Orthonormal bases, (K, d, p).
    labels
        The subspace of each token, (n,).
    eps
        Precision.
    """

    Z: Any
    U: Any
    labels: Any
    eps: float
    n: int
    d: int
    K: int
    p: int

    @property
    def beta(self) -> float:
        """β = p/(n ε²)."""
        return self.p / (self.n * self.eps**2)


@dataclass
class Case:
    """What a check sees: named draws, the ledger's arrays, its hypotheses.

    Attributes
    ----------
    params
        Every number drawn so far, by name, in order; JSON-able, and enough to have the instance again.
    complexity
        How simple the instance is; smaller is simpler: sizes first, then options, digits, and seeds.
    twin
        Whether the deliberately wrong twin of the claim is being run.
    where
        The condition that the check named, if it named one.
    """

    driver: Driver
    arrays: Arrays = field(default_factory=Arrays)
    twin: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    where: Condition | None = None
    _sizes: int = 0
    _options: int = 0
    _digits: int = 0
    _seeds: int = 0

    # --- draws --------------------------------------------------------------------------------------------

    def integer(self, name: str, lo: int, hi: int) -> int:
        """A whole number, lo ≤ · ≤ hi, uniform; lo is the simplest."""
        if not lo <= hi:
            raise ValueError(f"{name} must have lo <= hi, got {lo} and {hi}")
        value = self._record(name, self.driver.integer(name, int(lo), int(hi)))
        self._sizes += value - lo
        return value

    def uniform(self, name: str, lo: float, hi: float) -> float:
        """A real number, lo ≤ · ≤ hi, uniform; the simplest has the fewest digits."""
        if not (lo <= hi and math.isfinite(lo) and math.isfinite(hi)):
            raise ValueError(f"{name} must have finite lo <= hi, got {lo} and {hi}")
        return self._real(name, self.driver.uniform(name, float(lo), float(hi)))

    def log_uniform(self, name: str, lo: float, hi: float) -> float:
        """A positive number, lo ≤ · ≤ hi, its logarithm uniform; the simplest has the fewest digits."""
        if not (0 < lo <= hi and math.isfinite(hi)):
            raise ValueError(f"{name} must have 0 < lo <= hi, finite, got {lo} and {hi}")
        return self._real(name, self.driver.log_uniform(name, float(lo), float(hi)))

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        """One of ``options`` (strings, numbers, None), uniform; the first is the simplest."""
        if not options:
            raise ValueError(f"{name} must have at least one option")
        value = self._record(name, self.driver.choice(name, tuple(options)))
        self._options += list(options).index(value)
        return value

    def seed(self, name: str = "seed") -> int:
        """A seed for random entries; 0 is the simplest."""
        value = self._record(name, self.driver.integer(name, 0, SEEDS - 1))
        self._seeds += value
        return value

    def rng(self, name: str = "seed") -> np.random.Generator:
        """A NumPy generator under a drawn seed, for the entries that no shrinking needs to see."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed(name))))

    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray:
        """``drawn``, an array that could as well have any other entries; or those that a search put in its place.

        Recorded only if it is not the one drawn; the simplest have the fewest digits.
        """
        given = self.driver.entries(name, drawn)
        if given is drawn:
            return drawn
        self._digits += sum(len(f"{x!r}") for x in given.ravel().tolist())
        return np.asarray(self._record(name, given.tolist()), dtype=np.float64)

    def mixture(
        self,
        *,
        n: int | tuple[int, int] = (1, 24),
        d: int | tuple[int, int] = (1, 16),
        K: int | tuple[int, int] = (1, 4),
        p: int | tuple[int, int] = (1, 4),
        coherence: Sequence[str] = ("orthogonal", "random"),
        noise: float | tuple[float, float] = (0.0, 1.0),
        scale: float | tuple[float, float] = (1e-2, 1e2),
        eps: float | tuple[float, float] = (1e-2, 10.0),
    ) -> Instance:
        """Tokens from a mixture of Gaussian subspaces; a range is drawn from, a single number is fixed.

        With noise, a search may put any others in their place. ``d`` starts at p, and at K·p for orthogonal
        subspaces, or it is raised to that.
        """
        from srr import mixtures

        kind = self.choice("coherence", coherence)
        K_, p_ = self._size("K", K), self._size("p", p)
        least = K_ * p_ if kind == "orthogonal" else p_
        lo, hi = _range(d)
        d_ = self._size("d", (max(lo, least), max(hi, least)))
        n_ = self._size("n", n)
        eps_ = self.log_uniform("eps", *_range(eps))
        scale_ = self.log_uniform("scale", *_range(scale))
        noise_ = self.uniform("noise", *_range(noise))
        mixture = mixtures.sample(n=n_, d=d_, K=K_, p=p_, noise=noise_, coherence=kind, seed=self.seed())
        Z = np.asarray(mixture.Z)
        return Instance(
            Z=self.asarray(scale_ * (self.entries("Z", Z) if noise_ else Z)),
            U=self.asarray(mixture.U),
            labels=self.asarray(mixture.labels),
            eps=eps_,
            n=n_,
            d=d_,
            K=K_,
            p=p_,
        )

    # --- hypotheses ---------------------------------------------------------------------------------------

    def assume(self, hypothesis: Any) -> None:
        """Reject the instance unless ``hypothesis`` is true; the share rejected is reported."""
        if not bool(hypothesis):
            raise Rejected

    def condition(self, name: str, value: Any, bound: float, *, along: str = "") -> bool:
        """Say where this instance lies, for a claim under a condition: inside iff ``value < bound``.

        ``bound`` is the same for every instance, so that values can be compared between instances: divide by
        the natural bound (step · L_c against 2, not step against 2/L_c). ``along`` names the number drawn that moves
        an instance in and out, all others equal; the boundary is then bisected along it.
        """
        if self.where is not None:
            raise ValueError(f"a check names one condition, got {name!r} after {self.where.name!r}")
        if math.isnan(float(value)):
            raise ValueError(f"condition {name!r} must have a value, got nan")
        if along and along not in self.params:
            raise ValueError(f"along must name a number that was drawn, got {along!r}")
        self.where = Condition(name, float(value), float(bound), along)
        return self.where.inside

    def wrong(self, right: Any, wrong: Any) -> Any:
        """``right``; or ``wrong`` in the negative twin, the deliberately wrong statement beside the claim."""
        return wrong if self.twin else right

    # --- arrays -------------------------------------------------------------------------------------------

    def asarray(self, a: Any) -> Any:
        """A NumPy array in the library, dtype and device that the ledger is run on."""
        return self.arrays.asarray(a)

    # --- the record ---------------------------------------------------------------------------------------

    @property
    def complexity(self) -> tuple[int, int, int, int]:
        return (self._sizes, self._options, self._digits, self._seeds)

    def _size(self, name: str, size: int | tuple[int, int]) -> int:
        lo, hi = _range(size)
        return self.integer(name, int(lo), int(hi))

    def _real(self, name: str, value: float) -> float:
        self._digits += len(f"{value!r}")
        return self._record(name, value)

    def _record(self, name: str, value: Any) -> Any:
        if name in self.params:
            raise ValueError(f"{name} is drawn twice; every draw needs its own name")
        self.params[name] = value
        return value


# --- the three drivers ------------------------------------------------------------------------------------


class Sample:
    """Independent draws: the same for one (seed, claim, index), whatever ran before or beside it."""

    def __init__(self, seed: int, slug: str, index: int, *, twin: bool = False) -> None:
        key = int.from_bytes(sha256(slug.encode()).digest()[:8], "little")
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, key, index, int(twin)))))

    def integer(self, name: str, lo: int, hi: int) -> int:
        return int(self._rng.integers(lo, hi, endpoint=True))

    def uniform(self, name: str, lo: float, hi: float) -> float:
        return min(lo + (hi - lo) * self._rng.random(), hi)

    def log_uniform(self, name: str, lo: float, hi: float) -> float:
        return min(max(math.exp(self.uniform(name, math.log(lo), math.log(hi))), lo), hi)

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return options[self.integer(name, 0, len(options) - 1)]

    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray:
        return drawn


class Search:
    """Draws made by hypothesis, inside a strategy: adversarial at first, ever simpler once one fails.

    Parameters
    ----------
    draw
        The ``draw`` of a ``hypothesis.strategies.composite``.
    """

    def __init__(self, draw: Any) -> None:
        from hypothesis import strategies

        self._draw, self._strategies = draw, strategies

    def integer(self, name: str, lo: int, hi: int) -> int:
        return int(self._draw(self._strategies.integers(lo, hi)))

    def uniform(self, name: str, lo: float, hi: float) -> float:
        st = self._strategies
        return float(self._draw(st.one_of(*self._simple(lo, hi), st.floats(lo, hi))))

    def log_uniform(self, name: str, lo: float, hi: float) -> float:
        # Floats drawn by value would hardly ever be small; the exponent is drawn instead.
        st = self._strategies
        exponents = st.floats(math.log10(lo), math.log10(hi))
        spread = exponents.map(lambda x: min(max(float(f"{10.0**x:.3g}"), lo), hi))
        return float(self._draw(st.one_of(*self._simple(lo, hi), spread)))

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return self._draw(self._strategies.sampled_from(options))

    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray:
        return drawn

    def _simple(self, lo: float, hi: float) -> list[Any]:
        inside = [x for x in SIMPLE if lo <= x <= hi]
        return [self._strategies.sampled_from(inside)] if inside else []


SIMPLE = (1.0, 0.0, 2.0, 0.5, 10.0, 0.1, 3.0, 4.0, 0.25, 100.0, 0.01, 8.0, 0.125, 1e3, 1e-3, 1e4, 1e-4)
"""The numbers one would try by hand, simplest first."""


class Replay:
    """A recorded instance again."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params
        self._left = set(params)

    def integer(self, name: str, lo: int, hi: int) -> int:
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not lo <= value <= hi:
            raise StaleWitness(f"{name} must be an integer from {lo} to {hi}, got {value!r} in the record")
        return value

    def uniform(self, name: str, lo: float, hi: float) -> float:
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not lo <= value <= hi:
            raise StaleWitness(f"{name} must be a number from {lo:g} to {hi:g}, got {value!r} in the record")
        return float(value)

    log_uniform = uniform

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        value = self._take(name)
        for option in options:
            if json.dumps(option) == json.dumps(value):  # a record may have been through a file
                return option
        raise StaleWitness(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r} in the record")

    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray:
        if name not in self._params:
            return drawn
        with suppress(TypeError, ValueError):
            given = np.array(self._take(name), dtype=np.float64)
            if given.shape == drawn.shape and np.isfinite(given).all():
                return given
        raise StaleWitness(f"{name} must be numbers of shape {drawn.shape}, got {self._params[name]!r} in the record")

    def require_all_used(self) -> None:
        """Raise `StaleWitness` if the check did not ask for everything that is recorded."""
        if self._left:
            raise StaleWitness(f"the record names {', '.join(sorted(self._left))}, which the check never draws")

    def _take(self, name: str) -> Any:
        if name not in self._params:
            raise StaleWitness(f"the check draws {name}, which the record does not name")
        self._left.discard(name)
        return self._params[name]


class Vary(Replay):
    """A recorded instance with its real numbers and entries moved.

    Parameters
    ----------
    params
        The record.
    point
        Where to: one coordinate for each real number, its place in its range from 0 to 1, and one for each entry,
        in the order in which they are asked for. None leaves all where it is; ``start`` then says where that is.
    """

    def __init__(self, params: Mapping[str, Any], point: Sequence[float] | None = None) -> None:
        super().__init__(params)
        self._point = None if point is None else iter(point)
        self.start: list[float] = []

    def uniform(self, name: str, lo: float, hi: float) -> float:
        value = super().uniform(name, lo, hi)
        place = self._moved([(value - lo) / (hi - lo) if hi > lo else 0.0])[0]
        return value if self._point is None else min(max(lo + (hi - lo) * place, lo), hi)

    def log_uniform(self, name: str, lo: float, hi: float) -> float:
        value = super().uniform(name, lo, hi)
        place = self._moved([math.log(value / lo) / math.log(hi / lo) if hi > lo else 0.0])[0]
        return value if self._point is None else min(max(lo * (hi / lo) ** place, lo), hi)

    def entries(self, name: str, drawn: np.ndarray) -> np.ndarray:
        given = super().entries(name, drawn)
        moved = self._moved(given.ravel().tolist())
        return given if self._point is None else np.reshape(moved, drawn.shape)

    def _moved(self, here: list[float]) -> list[float]:
        self.start += here
        return here if self._point is None else [next(self._point) for _ in here]


def _range(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)
