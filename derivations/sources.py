"""The works that derivations and claims are taken from, as they are cited."""

from __future__ import annotations

N23 = "Yu et al. 2023 (arXiv 2306.01129)"
"""White-Box Transformers via Sparse Rate Reduction: CRATE."""
BOOK = "Ma et al., Principles and Practice of Deep Representation Learning"
HU = "Hu, Zou and Xu 2024 (arXiv 2411.17182)"
"""What attention does to the compression term: CRATE-C, CRATE-N, CRATE-T."""
ALPHA = "Yang et al. 2024 (CRATE-alpha, arXiv 2405.20299)"
SEGMENTATION = "Yu et al. 2023 (segmentation, arXiv 2308.16271)"
MCR2 = "Yu et al. 2020 (MCR^2, arXiv 2006.08558)"
REDUNET = "Chan et al. 2022 (ReduNet, arXiv 2105.10446)"
FISTA = "Beck and Teboulle 2009 (SIAM J. Imaging Sci. 2)"
GEO = "Wang et al. 2024 (geometry of MCR^2, arXiv 2406.01909)"
TOST = "Wu et al. 2024 (ToST, arXiv 2412.17810)"
MDHW = "Ma, Derksen, Hong and Wright 2007 (IEEE TPAMI 29)"
"""Segmentation of Multivariate Mixed Data via Lossy Data Coding and Compression."""
CTRL = "Dai et al. 2022 (CTRL, arXiv 2111.06636)"
