"""ReduNet on all cyclic shifts of its samples: block-circulant operators, frequency by frequency.

N samples of C channels and T places give the CT × NT matrix of all shifts. A circulant matrix is diagonal in the
Fourier basis, with the DFT of its first column, not normalised, on the diagonal: so the matrix of all shifts is
Σ_k U_kX_kV_kᵀ over the T frequencies, X_k the C × N spectra at one of them, and U_k, V_k the Fourier vector for every
channel and for every sample. These matrices are complex, and ᵀ is the conjugate transpose: the steps use (AB)ᵀ = BᵀAᵀ
and that U and V are unitary, nothing else.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus
from derivations.expression import Expr, Identity, Inverse, LogDet, Matrix, Sum
from derivations.notation import I_d, alpha, family
from derivations.proof import Derivation, chain
from derivations.rules import block_inverse, block_log_det
from derivations.sources import REDUNET

U = family(orthonormal=True, mutually=True, complete=True)
"""d = CT, p = C, and K = T frequencies."""
V = Matrix("V", "n", "q", "k", orthonormal=True, mutually=True, complete=True)
"""n = NT, q = N."""
X = Matrix("X", "p", "q", "k")
SHIFTS: Expr = Sum("k", U @ X @ V.T)
"""The matrix of all shifts; its columns are the tokens."""
I_C = Identity("p")
T = sympy.Symbol("T", positive=True, integer=True)
_spectrum = I_C + alpha * X @ X.T
_ortho = I_C + alpha / T * X @ X.T
_WORK = f"{REDUNET}, shift invariance; the Fourier transform of a circulant matrix"
_HYPOTHESES = (
    "the matrix of all shifts is Σ_k U_kX_kV_kᵀ, X_k the spectra at frequency k, by the DFT that is not normalised",
    "complex matrices, ᵀ the conjugate transpose: U_jᵀU_k and V_jᵀV_k are I for j = k, else 0; Σ_k U_kU_kᵀ = I",
)
_w, _a = Matrix("w", 1, 1, "k"), Matrix("a", 1, 1, "k")
_f = Matrix("f", "d", 1, "k", orthonormal=True, mutually=True, complete=True)

CIRCULANT = Derivation(
    name="circulant-matrices-commute-with-the-shift",
    title="What is diagonal in the Fourier basis commutes with the cyclic shift",
    hypotheses=(
        "the shift is Σ_k f_kw_kf_kᵀ, f_k the Fourier vectors and w_k the roots of unity",
        "complex columns, ᵀ the conjugate transpose: f_jᵀf_k is 1 for j = k, else 0; any numbers a_k",
    ),
    source=_WORK,
    steps=chain(
        Sum("k", _f @ _a @ _f.T) @ Sum("k", _f @ _w @ _f.T),
        ("=", Sum("k", _f @ _a @ _w @ _f.T), Calculus(), "f_jᵀf_k is 1 for j = k, else 0."),
        ("=", Sum("k", _f @ _w @ _f.T) @ Sum("k", _f @ _a @ _f.T), Calculus(), "Numbers commute."),
    ),
    remark="The roots w_k differ, so that nothing else commutes with the shift: these are the circulant matrices.",
)

GRAM = Derivation(
    name="gram-matrix-of-all-shifts",
    title="The Gram matrix of all shifts is block-circulant: a C x C matrix for every frequency",
    hypotheses=_HYPOTHESES,
    source=_WORK,
    uses=(CIRCULANT,),
    steps=chain(
        SHIFTS @ SHIFTS.T,
        ("=", Sum("k", U @ X @ X.T @ U.T), Calculus(), "V_jᵀV_k is I for j = k, else 0."),
    ),
    remark="The channels mix in every frequency: X_kX_kᵀ is full.",
)

EXPANSION = Derivation(
    name="redunet-expansion-by-frequencies",
    title="ReduNet's expansion on all shifts inverts one C x C matrix for every frequency",
    hypotheses=_HYPOTHESES,
    source=_WORK,
    uses=(GRAM,),
    steps=chain(
        alpha * Inverse(I_d + alpha * SHIFTS @ SHIFTS.T),
        (
            "=",
            alpha * Inverse(Sum("k", U @ _spectrum @ U.T)),
            Calculus(),
            "The Gram matrix, and Σ_k U_kU_kᵀ = I.",
        ),
        (
            "=",
            alpha * Sum("k", U @ Inverse(_spectrum) @ U.T),
            Calculus((block_inverse(U, _spectrum),)),
            "The inverse of the blocks.",
        ),
    ),
    remark="The compression operators in the same way, with α_k and the spectra of a class.",
)

RATE = Derivation(
    name="coding-rate-of-all-shifts",
    title="The coding rate of all shifts is the sum of those of the spectra, frequency by frequency",
    hypotheses=_HYPOTHESES,
    source=_WORK,
    uses=(GRAM,),
    steps=chain(
        LogDet(I_d + alpha * SHIFTS @ SHIFTS.T) / 2,
        (
            "=",
            LogDet(Sum("k", U @ _spectrum @ U.T)) / 2,
            Calculus(),
            "The Gram matrix, and Σ_k U_kU_kᵀ = I.",
        ),
        ("=", Sum("k", LogDet(_spectrum) / 2), Calculus((block_log_det(U, _spectrum),)), "The blocks' determinants."),
    ),
)

OFFICIAL = Derivation(
    name="redunet-expansion-with-the-unitary-transform",
    title="With the unitary DFT the expansion is that of α/T inside the inverse",
    hypotheses=(*_HYPOTHESES, "the unitary DFT of T places has the spectra X_k/√T"),
    source="code of Chan et al. 2022 (ReduNet, arXiv 2105.10446), Fourier1D and Fourier2D",
    uses=(EXPANSION,),
    steps=chain(
        alpha * Sum("k", U @ Inverse(I_C + alpha * (X / sympy.sqrt(T)) @ (X / sympy.sqrt(T)).T) @ U.T),
        ("=", alpha * Sum("k", U @ Inverse(_ortho) @ U.T), Calculus(), "√T twice."),
        (
            "=",
            alpha * Inverse(Sum("k", U @ _ortho @ U.T)),
            Calculus((block_inverse(U, _ortho),)),
            "The inverse of the blocks.",
        ),
        (
            "=",
            T * (alpha / T * Inverse(I_d + alpha / T * SHIFTS @ SHIFTS.T)),
            Calculus(),
            "T times the expansion with α/T for α.",
        ),
    ),
    remark="So the code computes T times the expansion at the precision √T ε: another operator than the paper's, not a "
    "multiple of it.",
)
