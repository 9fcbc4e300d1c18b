"""The layer that provably descends with steps far beyond those of `descent`: implicit in Rᶜ, as the tokens lie."""

from __future__ import annotations

from dataclasses import dataclass

from srr import curvature, flops
from srr._arrays import Array, count, map_blocks, namespace, require_shape, require_tokens, unit_roundoff
from srr._scalars import alpha
from srr.descent import Descent, descent
from srr.implicit import weighted_bases
from srr.rates import coding_rate_and_gradient

__all__ = ["ImplicitDescent", "implicit_descent"]


@dataclass(frozen=True, eq=False)
class ImplicitDescent(Descent):
    """A semi-implicit step on the whole loss; `implicit_descent` builds it and documents it."""

    iterations: int

    def compress(self, Z: Array) -> Array:
        """V + τξ: the V that the second half is to return, and τ times a subgradient of ‖V‖₁."""
        loss = self.objective
        xp = namespace(Z=Z, U=loss.U)
        require_tokens(Z)
        require_shape(Z, ("...", "n", loss.U.shape[1]), "Z")
        n, d = Z.shape[-2:]
        beta, least = alpha(loss.U.shape[2], n, loss.eps), unit_roundoff(Z) * curvature.expansion(n, d, eps=loss.eps)
        slope = coding_rate_and_gradient(Z, eps=loss.eps)[1]
        ell = xp.clip(curvature.expansion_at(Z, eps=loss.eps)[..., None, None], min=least)

        def solve(Z: Array, slope: Array, ell: Array) -> tuple[Array]:
            B = weighted_bases(xp, Z, loss.U, beta)
            A = beta * xp.matmul(B, xp.matrix_transpose(B))
            step = 1 / (xp.max(xp.linalg.eigvalsh(A), axis=1)[:, None, None] + ell)
            threshold, V = step * loss.lam, Z
            for _ in range(self.iterations):
                moved = V - step * (xp.matmul(V, A) - slope + ell * (V - Z))
                taken = xp.minimum(moved, threshold)
                taken = taken if self.nonnegative else xp.maximum(taken, -threshold)
                V = moved - taken
            if loss.lam == 0:
                return (V,)
            return (V + n * self.step_per_token * loss.lam * xp.clip(taken / threshold, min=-1.0),)

        return map_blocks(solve, Z, slope, ell)[0]

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.objective.U.shape
        of_R = flops.coding_rate_gradient(n, d) + flops.singular_values(n, d)
        of_Rc = flops.weighted_bases(n, d, K, p) + flops.product(d, K * p, d) + flops.eigenvalues(d)
        return of_R + of_Rc + self.iterations * flops.product(n, d, d)


def implicit_descent(
    U: Array, *, eps: float, lam: float, nonnegative: bool = False, iterations: int = 4
) -> ImplicitDescent:
    """The provably monotone layer whose steps are as long as its tokens allow, also where ε is small.

    It lowers a majoriser of the whole loss Rᶜ − R + λ‖·‖₁ that touches it at Z, convex and quadratic but for λ‖·‖₁::

        L(V) ≤ L(Z) + ⟨ZA − ∇R(Z), V − Z⟩ + ½ tr((V − Z)(A + ℓ(Z)I)(V − Z)ᵀ) + λ‖V‖₁ − λ‖Z‖₁,
        A = β Σ_k U_k(I + βY_kᵀY_k)⁻¹U_kᵀ.

    Rᶜ enters as in `implicit.semi_implicit_step`, its tangent in the Gram matrices, −R by `curvature.expansion_at`. Of
    this lasso the layer takes ``iterations`` proximal gradient steps, of size 1/(λ_max(A) + ℓ(Z)); each lowers it, so
    the loss falls, whatever the tokens, the bases, ε, λ and the number of iterations. One iteration is an explicit
    step, many are the implicit one V = Z − (VA − ∇R(Z) + λξ)/ℓ, ξ a subgradient of ‖V‖₁.

    Neither half alone promises anything: the first returns V + τξ, which the fixed threshold τ of the second makes V.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, orthonormal or not.
    eps : float
        Precision ε > 0.
    lam : float
        λ ≥ 0.
    nonnegative : bool
        Keep tokens ≥ 0. The loss then descends from tokens that are.
    iterations : int
        At least 1.

    Returns
    -------
    ImplicitDescent

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Both constants are those of the tokens at hand: λ_max(A) ≤ L_c and ℓ ≤ α/8, and far below where every singular
    value of the heads and of the tokens is well above ε√(n/p) and ε√(n/d). Two factorisations of Z, one a head, and
    2nd² flops an iteration.
    """
    layer = descent(U, eps=eps, lam=lam, nonnegative=nonnegative)
    return ImplicitDescent(layer.objective, layer.nonnegative, layer.step_per_token, count(iterations, "iterations"))
