"""What the coding rates are: identities, invariances, gradients, bounds on one another, and rate distortion.

Tokens are columns in the statements, as in the papers, and rows in the checks: Z below is the papers' Zᵀ.
α = d/(nε²), β = p/(nε²), which the papers write γ.
"""
