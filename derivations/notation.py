"""The symbols that the derivations share. Tokens are rows: Z is n × d, U_k is d × p, D is d × m."""

from __future__ import annotations

import sympy

from derivations.expression import Expr, Identity, Inverse, LogDet, Matrix, Sum

n, d, p, K = sympy.symbols("n d p K", positive=True, integer=True)
alpha, beta, eps, kappa, eta, lam = sympy.symbols("alpha beta epsilon kappa eta lambda", positive=True)
"""α = d/(n ε²), β = p/(n ε²), the precision ε, step sizes κ and η, the weight λ of the l1 norm."""

Z = Matrix("Z", "n", "d")
H = Matrix("H", "n", "d")
"""A direction in which tokens move."""

I_n, I_d, I_p = Identity("n"), Identity("d"), Identity("p")
M = Inverse(I_n + alpha * Z @ Z.T)
W = Inverse(I_d + alpha * Z.T @ Z)

R: Expr = LogDet(I_d + alpha * Z.T @ Z) / 2
"""The coding rate R(Z)."""


ANY_BASES = "any tokens and any matrices U_k, overlapping or not"
ORTHOGONAL_BASES = "orthonormal bases U_k of mutually orthogonal subspaces"
"""Hypotheses that many derivations share."""


def family(*, orthonormal: bool = False, mutually: bool = False, complete: bool = False, index: str = "k") -> Matrix:
    """U_k, a basis of the k-th subspace, with the properties named."""
    return Matrix("U", "d", "p", index, orthonormal=orthonormal, mutually=mutually, complete=complete)


def head(U: Matrix) -> Expr:
    """Y_k = Z U_k, the tokens in head k."""
    return Z @ U


def gram(U: Matrix) -> Expr:
    """I + β Y_kᵀY_k."""
    return I_p + beta * head(U).T @ head(U)


def compression(U: Matrix) -> Expr:
    """Rᶜ(Z|U) = ½ Σ_k log det(I + β Y_kᵀY_k)."""
    return Sum(U.index, LogDet(gram(U)) / 2)
