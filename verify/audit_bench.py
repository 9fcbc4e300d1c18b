"""What an audit costs, beside the network's own forward pass and the matrix products that it needs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from verify.auditing.run import audit
from verify.models.crate import Crate

D, HEADS, DEPTH, IMAGE, PATCH = 384, 6, 12, 224, 16
"""CRATE-Tiny: 12 layers of 6 heads of dimension 64, 197 tokens."""
FORWARDS, SHARE = 2.0, 0.6
"""An audit is to take so many forward passes at most, and its products at this share of the rate of large ones."""


@dataclass(frozen=True)
class AuditTiming:
    """One setting of an audit, per sample; processor time of one thread."""

    what: str
    samples: int
    forward_seconds: float
    seconds: float
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
            audit(model, images[: count // 2], **given)
            before = _peak()
            seconds = _seconds(lambda count=count, given=given: audit(model, images[:count], **given)) / count
            growth = _peak() - before
            eps, views = (1, 1) if "eps" in options else (3, 3)
            needed = products(eps, views, controls="controls" not in options)
            found.append(AuditTiming(what, count, forward, seconds, needed, rate, growth))
        return found
    finally:
        torch.set_num_threads(threads)


def products(eps: int, views: int, *, controls: bool) -> float:
    """Operations, per sample, of the matrix products of `auditing.half`: Gram matrices, projections, gradients."""
    n, d, K, p = (IMAGE // PATCH) ** 2 + 1, D, HEADS, D // HEADS
    tokens = 2 * n * n * d  # ZZᵀ
    projected = 2 * n * d * K * p  # ZU
    of_heads = 2 * 2 * K * n * p * p  # Gram matrices of the heads, and of the normalised ones
    slope = projected + 2 * eps * (2 * n * d * K * p + 2 * K * n * p * p)  # for each ε, with [CLS] and without
    lasso = 2 * n * d * d
    starts = min(views, 2)  # two views start from the same tokens
    half = (starts + views) * (tokens + projected + of_heads)
    compress = half + starts * (slope + 2 * (projected + 2 * K * n * p * p))
    sparsify = half + 3 * lasso
    if controls:
        sets = (starts + 5 * views) * (tokens + projected + of_heads) + 3 * (starts + views) * (projected + of_heads)
        attended = projected + 2 * 2 * n * n * K * p + projected
        steps = 2 * attended + eps * (attended + 2 * (projected + of_heads + projected))
        others = (2 + 3 * eps) * views * (tokens + projected + of_heads) + steps
        compress += sets + 4 * starts * slope + others
        sparsify += sets + 6 * lasso
    return float(DEPTH * (compress + sparsify))


def _seconds(f: Callable[[], object]) -> float:
    start = time.process_time()
    f()
    return time.process_time() - start


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
