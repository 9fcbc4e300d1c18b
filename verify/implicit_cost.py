"""What the compression steps cost, in flops: a product of a × b by b × c counts 2abc."""

from __future__ import annotations

EIGEN = 9
"""Of a symmetric q × q matrix with vectors: 9q³ (Golub and Van Loan, Matrix Computations, section 8.3)."""


def explicit_step(n: int, d: int, K: int, p: int) -> float:
    """`attention.exact_step`: projections, Gram matrices, Cholesky and inverse, gradients, and back."""
    small, large = min(n, p), max(n, p)
    return 4 * n * d * K * p + K * (4 * large * small**2 + small**3)


def implicit_step(n: int, d: int, K: int, p: int) -> float:
    """`implicit.implicit_step`: projections, Gram matrices, eigenvectors, three products with them, and back."""
    small, large = min(n, p), max(n, p)
    return 4 * n * d * K * p + K * (8 * large * small**2 + EIGEN * small**3)


def explicit_steps_at_the_cost_of_an_implicit_one(n: int, d: int, K: int, p: int) -> int:
    """As many as cost at least as much."""
    return -int(-implicit_step(n, d, K, p) // explicit_step(n, d, K, p))
