"""What an audit costs, beside the network's own forward pass and the matrix products that it needs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from verify.auditing.run import audit
from verify.models.crate import Crate

D, HEADS, DEPTH, IMAGE, PATCH = 384, 6, 12, 224, 16
"""CRATE-Tiny: 12 layers of 6 heads of dimension 64, 197 tokens."""
FORWARDS, SHARE = 2.0, 0.6
"""An audit is to take so many forward passes at most, and its products at this share of the rate of large ones."""


@dataclass(frozen=True)
class AuditTiming:
    """One setting of an audit; processor time of one thread for each further sample, bases and weights done."""

    what: str
    samples: int
    forward_seconds: float
    """Of the network alone."""
    seconds: float
    """From half of the samples to all."""
    products: float
    """Floating-point operations of the matrix products that it needs."""
    rate: float
    """Operations a second of a product of 1024 × 1024 matrices in float64."""
    growth: float
    """MiB by which peak memory grew from half of the samples to all."""

    @property
    def allowed(self) -> float:
        """Seconds."""
        return FORWARDS * self.forward_seconds + self.products / (SHARE * self.rate)

    @property
    def ratio(self) -> float:
        """Of the time taken to that allowed."""
        return self.seconds / self.allowed


def run(samples: int) -> list[AuditTiming]:
    """Measures alone at one precision, at three, and everything with all null controls and counterfactuals."""
    torch.manual_seed(0)
    model = Crate(image_size=IMAGE, patch_size=PATCH, num_classes=1000, dim=D, depth=DEPTH, heads=HEADS).eval()
    images = torch.randn(samples, 3, IMAGE, IMAGE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            forward = min(_seconds(lambda: model(images[:8])) for _ in range(3)) / 8
        large = torch.randn(1024, 1024, dtype=torch.float64)
        rate = 2 * 1024**3 / min(_seconds(lambda: large @ large) for _ in range(3))
        cases = (
            ("1 eps, raw tokens", samples, {"eps": 0.5, "tokens": "raw", "controls": 0}),
            ("3 eps, 3 views", samples, {"controls": 0}),
            ("and all controls", max(2, samples // 8), {}),
        )
        found = []
        for what, count, options in cases:
            given = {**options, "layout": "crate", "constants": {"heads": HEADS}, "twin": False}
            given["batch"] = max(1, min(8, count // 4))
            (half, before), (whole, after) = (_audited(model, images[:n], given) for n in (count // 2, count))
            seconds, growth = (whole - half) / (count - count // 2), after - before
            eps, views = (1, 1) if "eps" in options else (3, 3)
            needed = products(eps, views, controls="controls" not in options)
            found.append(AuditTiming(what, count, forward, seconds, needed, rate, growth))
        return found
    finally:
        torch.set_num_threads(threads)


def products(eps: int, views: int, *, controls: bool) -> float:
    """Operations, per sample, of the matrix products in `auditing.half`, where none is done twice.

    Gram matrices and projections of every token set in every view, ∇Rᶜ where a half starts, by ε and [CLS], and the
    lasso; for controls, the same of null updates, of other bases, and of other steps with the same weights.
    """
    n, d, K, p = (IMAGE // PATCH) ** 2 + 1, D, HEADS, D // HEADS
    tokens = 2 * n * n * d  # ZZᵀ
    projected = 2 * n * d * K * p  # ZU, and back
    of_heads = 2 * K * n * p * p  # YᵀY, and the products of its size
    compressed = projected + of_heads
    both = compressed + of_heads  # with the official measure
    slopes = 2 * eps * compressed  # from Y: Y M⁻¹ and back, with [CLS] and without
    coded = 2 * n * d * d  # ADᵀ
    # Two views start from the same tokens, and a half starts, as the network carries them, where the last one ended;
    # a half that adds to nothing ends in two views at the same tokens.
    more, ends, codes = min(views, 2) - 1, views, min(views, 2)
    found = (more + ends + more + codes) * tokens + (1 + more + ends + more + codes) * both
    found += (1 + more) * slopes + 3 * coded
    if controls:
        null_updates = 2 * 4 * views * (tokens + both)
        other_bases = 3 * ((1 + more + ends + more + codes) * both + (1 + more) * slopes)
        attended = 2 * projected + 2 * 2 * n * n * K * p
        steps = attended + eps * (attended + 2 * projected + 2 * of_heads + 2 * tokens)
        found += null_updates + other_bases + 6 * coded + steps + (2 + 3 * eps) * views * compressed
    return float(DEPTH * found)


def _audited(model: Crate, images: torch.Tensor, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds of one audit, and the peak memory of this process in MiB."""
    seconds = _seconds(lambda: audit(model, images, **options))
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds(f: Callable[[], object]) -> float:
    start = time.process_time()
    f()
    return time.process_time() - start
