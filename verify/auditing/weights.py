"""What theory asks of the weights of a layer, without any tokens: orthonormality, incoherence, a tied output matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srr import curvature
from srr._heads import side_by_side
from verify.auditing.nulls import chance_alignment


def of_weights(U: Tensor, output: Tensor | None, D: Tensor | None) -> dict[str, float]:
    """Numbers of bases U ``(K, d, p)``, an output matrix ``(d, K p)`` and a dictionary D ``(d, m)``.

    Returns
    -------
    dict of str to float
        "orthonormality"
            The largest ‖U_kᵀU_k − I‖_F/√p; 0 in theory.
        "coherence"
            The largest cosine between two of the subspaces; 0 in theory, NaN for one head.
        "overlap"
            λ_max(Σ_k U_k U_kᵀ); 1 in theory.
        "alignment", "alignment by chance"
            Cosine of the output matrix with [U_1, …, U_K], 1 in theory; and the standard deviation of that of a random
            matrix.
        "dictionary"
            ‖DᵀD − I‖_F/√m; 0 in theory.
        "dictionary norm"
            ‖D‖₂²; an ISTA step η descends below 2/‖D‖₂².
    """
    K, _, p = U.shape
    eye = torch.eye(p, dtype=U.dtype, device=U.device)
    defect = torch.linalg.matrix_norm(U.mT @ U - eye).max() / math.sqrt(p)
    frames = torch.linalg.qr(U)[0]
    largest = torch.linalg.matrix_norm(frames[:, None].mT @ frames[None], ord=2)
    largest.fill_diagonal_(-math.inf)
    found = {
        "orthonormality": float(defect),
        "coherence": float(largest.max()) if K > 1 else math.nan,
        "overlap": float(curvature.overlap(U)),
    }
    if output is not None:
        tied = side_by_side(U)
        norms = torch.linalg.matrix_norm(tied) * torch.linalg.matrix_norm(output)
        found["alignment"] = float((tied * output).sum() / norms)
        found["alignment by chance"] = chance_alignment(output.numel())
    if D is not None:
        eye = torch.eye(D.shape[1], dtype=D.dtype, device=D.device)
        found["dictionary"] = float(torch.linalg.matrix_norm(D.mT @ D - eye)) / math.sqrt(D.shape[1])
        found["dictionary norm"] = float(torch.linalg.matrix_norm(D, ord=2)) ** 2
    return found
