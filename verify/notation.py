"""What the letters, the words and the citations of the ledger mean: in the report, and as ``srr show notation``."""

from __future__ import annotations

from verify.claims import _sources

LETTERS = {
    "Z": "the tokens, n (also N) of dimension d. In the statements, as in the papers, each is a column: d × n. In the "
    "code each is a row: (n, d)",
    "U_k, U_[K]": "bases of K subspaces of dimension p, the heads; Y_k = U_kᵀZ. In the code (K, d, p)",
    "Π": "memberships of the tokens in K classes, of n_k tokens each",
    "ε": "the precision; it enters as ε²",
    "α": "d/(nε²); α_k = d/(n_k ε²)",
    "β": "p/(nε²), which some papers write γ",
    "R": "the coding rate ½ log det(I + αZZᵀ), in nats, as all rates",
    "Rᶜ": "the rate within the subspaces, Rᶜ(Z|U) = ½ Σ_k log det(I + βY_kᵀY_k), or within the classes, Rᶜ(Z|Π)",
    "R^var": "ToST's variational rate ½ Σ_k (n_k/n) Σ_i log(1 + cv_ki), c = d/ε², v_ki = Σ_j π_jk(Y_k)_ij²/n_k; D_k is "
    "the diagonal matrix of c/(1 + cv_ki)",
    "TSSA": "−τ∇R^var with the memberships held fixed",
    "SNR_k": "of the tokens Z_k of class k: ‖U_kU_kᵀZ_k‖ over ‖Z_k − U_kU_kᵀZ_k‖ (Frobenius)",
    "Q_k, A_k": "the r representatives of head k, Q_k = Y_kA_kᵀ, and what contracts the tokens to them; β_r = p/(rε²)",
    "ΔR": "the rate reduction R − Rᶜ",
    "ℒ": "the loss Rᶜ − R + λ‖Z‖₁, which a layer should lower",
    "L_c": "β λ_max(Σ_k U_kU_kᵀ), the largest curvature of Rᶜ(Z|U)",
    "E, C_k, γ_k": "ReduNet's expansion α(I + αZZᵀ)⁻¹, the compression α_k(I + α_kZΠ_kZᵀ)⁻¹ of class k and its share "
    "n_k/n; M = E/α, M_k = C_k/α_k",
    "π̂_k": "ReduNet's estimated membership, the softmax of −λ‖C_kz‖ over the classes",
    "ρ_i": "⟨z_i, g_i⟩ of a token and its row of the gradient of ΔR(Z|Π)",
    "circ, S": "all cyclic shifts of a signal of C channels, as tokens, and how many they are",
    "κ, η, s": "steps: of compression, of sparsification, of the descent layer",
    "SSA, MSSA": "attention of one head, Y_kS_k with S_k = softmax(Y_kᵀY_k), and the sum Σ_k U_k SSA, with the factor "
    "β or without it",
    "W": "the output matrix of attention, d × Kp: the bases U_k side by side in theory, free in the code",
    "D, A": "a dictionary, and a code: Z ≈ DA",
    "L, Lˢ": "coding lengths: (n + d)R, or nR without the overhead d, and that of all parts with their labels",
    "F, φ": "the lasso λ‖A‖₁ + ½‖Z − DA‖², and λ‖Z‖₁ − R(Z)",
    "LN": "LayerNorm",
}

VERDICTS = {
    "holds": "every instance within the hypotheses holds",
    "holds under": "every instance inside the named condition holds, and some outside fail",
    "refuted": "an instance fails; the simplest counterexample found, its witness, is shown",
    "undecided": "nothing fails, and some instance could not be decided",
    "error": "the check crashed, rejected every instance, or could not tell its negative twin",
}

EVIDENCE = {
    "proved": "derivations, every step of them checked by a machine, of the whole statement; what they take from "
    "outside without proof is named",
    "behind it": "derivations of a part, of a special case, of a formula that it uses, or of the right formula beside "
    "a false one: they do not prove it",
    "certified": "rigorous enclosures or exact arithmetic decide each instance",
    "checked": "in floating point, on as many instances as are named, drawn at random",
    "worst ratio": "the largest error over what is allowed, 30 times the rounding error to be expected: at most 1 "
    "where a claim holds",
    "asked here": "where a source begins so, no work states the claim: it is a question of this ledger, and no erratum "
    "if it is refuted",
    "negative twin": "a wrong statement that the same check must refute; beside a false claim, the true statement, "
    "which must hold",
}

WORKS = {
    _sources.N23: "N23. Yu, Buchanan, Pai, Chu, Wu, Tong, Haeffele and Ma: White-Box Transformers via Sparse Rate "
    "Reduction. NeurIPS 2023",
    _sources.SEGMENTATION: "Yu, Chu, Tong, Wu, Pai, Buchanan and Ma: Emergence of Segmentation with Minimalistic "
    "White-Box Transformers. CPAL 2024",
    _sources.ALPHA: "Yang, Li, Pai, Zhou, Ma, Yu and Xie: Scaling White-Box Transformers for Vision. NeurIPS 2024",
    _sources.HU: "An In-depth Investigation of Sparse Rate Reduction in Transformer-like Models. NeurIPS 2024",
    _sources.BOOK: "the book, an open text, version 2: ma-lab-berkeley.github.io/deep-representation-learning-book "
    "(equations by the labels in its source)",
    _sources.MCR2: "Yu, Chan, You, Song and Ma: Learning Diverse and Discriminative Representations via the Principle "
    "of Maximal Coding Rate Reduction. NeurIPS 2020",
    _sources.GEO: "Wang, Liu, Pai, Yu, Zhu, Qu and Ma: A Global Geometric Analysis of Maximal Coding Rate Reduction. "
    "ICML 2024",
    _sources.CTRL: "Dai, Tong, Li, Wu, Psenka, Chan, Zhai, Yu, Yuan, Shum and Ma: CTRL: Closed-Loop Transcription to "
    "an LDR via Minimaxing Rate Reduction. Entropy 24",
    _sources.MDHW: "Segmentation of Multivariate Mixed Data via Lossy Data Coding and Compression. IEEE Trans. Pattern "
    "Anal. Mach. Intell. 29",
    _sources.REDUNET: "Chan, Yu, You, Qi, Wright and Ma: ReduNet: A White-box Deep Network from the Principle of "
    "Maximizing Rate Reduction. JMLR 23",
    _sources.TOST: "Wu, Ding, Lu, Pai, Zhang, Wang, Yu, Ma and Haeffele: Token Statistics Transformer: Linear-Time "
    "Attention via Variational Rate Reduction. ICLR 2025",
    _sources.AOT: "Wang, Lu, Yu, Pai, Qu and Ma: Attention-Only Transformers via Unrolled Subspace Denoising. ICML "
    "2025",
    _sources.CBSA: "Wen, Huang and Li: Towards Interpretable and Efficient Attention: Compressing All by Contracting a "
    "Few. NeurIPS 2025",
    _sources.MAE: "Pai, Wu, Buchanan, Yu and Ma: Masked Completion via Structured Diffusion with White-Box "
    "Transformers. ICLR 2024",
    _sources.FISTA: "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
    "Higham 2002": "Accuracy and Stability of Numerical Algorithms, second edition. SIAM",
    "Rump 2010": "Verification methods: Rigorous results using floating-point arithmetic. Acta Numerica 19",
    "Cover and Thomas": "Elements of Information Theory, second edition. Wiley 2006",
    "Zamir and Feder 1996": "Information Rates of Pre/Post-Filtered Dithered Quantizers. IEEE Trans. Inf. Theory 42",
}
"""Works, by the words in which claims cite them."""

NOTATION = {"Letters": LETTERS, "Verdicts": VERDICTS, "Evidence": EVIDENCE, "Sources": WORKS}
