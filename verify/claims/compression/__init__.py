"""The compression half: the gradient step on Rᶜ(Z|U), and the attention that is put in its place.

Tokens are rows. Throughout β = p/(n ε²), which the papers write γ, Y_k = Z U_k are the tokens in head k,
and S_k is the row softmax of Y_kY_kᵀ. For mutually orthogonal subspaces Rᶜ depends on the singular values
of each Y_k alone, and a step that multiplies a singular value s by 1 − q takes off at least ½ β s² q (2 −
q)/(1 + β s²).
"""
