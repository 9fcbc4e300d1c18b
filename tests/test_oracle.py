"""The oracle that derivations export: exact values at given arrays, against srr and against wrong formulas."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import fmpq

import srr
from derivations import attention, coding_rate, compression_rate, compression_step, expression
from derivations.notation import H, M, R, Z, alpha, beta
from derivations.oracle import exact, rounded, value

EPS = 0.7
TOKENS = np.random.default_rng(0).standard_normal((3, 2))
BASES = np.random.default_rng(1).standard_normal((2, 2, 1))
ALPHA = Fraction(2, 3) / Fraction(EPS) ** 2
BETA = Fraction(1, 3) / Fraction(EPS) ** 2


def test_a_matrix_is_exact():
    assert value(Z.T @ Z, {"Z": [[1, 0.5], [2, 3]]}) == [[fmpq(5), fmpq(13, 2)], [fmpq(13, 2), fmpq(37, 4)]]
    assert value(M, {"Z": [[1.0], [1.0]]}, {"alpha": Fraction(1, 3)}) == [
        [fmpq(4, 5), fmpq(-1, 5)],
        [fmpq(-1, 5), fmpq(4, 5)],
    ]


def test_floats_are_the_rationals_that_they_are():
    assert exact(0.1) == fmpq(*(0.1).as_integer_ratio()) != fmpq(1, 10)
    assert exact(np.float32(0.1)) == fmpq(13421773, 134217728)
    assert exact(3) == exact(Fraction(3)) == exact(fmpq(3)) == 3


def test_logarithms_stay_formal_until_they_are_rounded():
    found = value(R, {"Z": [[1.0]]}, {"alpha": 3})
    assert found.rational == 0
    assert found.logs == ((fmpq(4), Fraction(1, 2)),)
    assert rounded(found) == float(np.log(2.0))


def test_a_product_of_a_rate_and_a_share():
    assert rounded(value(R / 3, {"Z": [[1.0]]}, {"alpha": 3})) == pytest.approx(np.log(2) / 3, rel=1e-15)
    shared = expression.Trace(expression.Matrix("nu", 1, 1)) * R
    found = value(shared, {"Z": [[1.0]], "nu": [[Fraction(3, 64)]]}, {"alpha": 3})
    assert rounded(found) == pytest.approx(3 / 64 * np.log(2), rel=1e-15)


def test_a_family_has_as_many_members_as_it_says():
    units = expression.Matrix("e", "n", 1, "i", count="n")
    total = expression.Sum("i", units @ units.T, "n")
    assert value(total, {"e": [[[1], [0]], [[0], [2]]]}) == [[fmpq(1), fmpq(0)], [fmpq(0), fmpq(4)]]
    with pytest.raises(ValueError, match="arrays must agree on n, got 1 and 2"):
        value(total, {"e": [[[1], [0]]]})


def relative(found, formula, arrays, scalars):
    wanted = np.array(rounded(value(formula, arrays, scalars)))
    return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))


@pytest.mark.parametrize(
    ("found", "formula"),
    [
        (srr.coding_rate(TOKENS, eps=EPS), coding_rate.TWO_FORMS.right),
        (srr.coding_rate_and_gradient(TOKENS, eps=EPS)[1], alpha * M @ Z),
        (srr.subspace_coding_rate(TOKENS, BASES, eps=EPS), compression_rate.RC),
        (srr.subspace_coding_rate_and_gradient(TOKENS, BASES, eps=EPS)[1], compression_rate.GRADIENT_OF_RC),
        (srr.attention.exact_step(TOKENS, BASES, eps=EPS, step=1.0), compression_step.LINEAR_MAP.right),
    ],
    ids=["rate", "gradient", "subspaces", "their gradient", "exact step"],
)
def test_srr_computes_what_is_derived_and_nothing_else(found, formula):
    arrays, scalars = {"Z": TOKENS, "U": BASES}, {"alpha": ALPHA, "beta": BETA, "kappa": 1}
    assert relative(found, formula, arrays, scalars) < 1e-14
    assert relative(found, 2 * formula, arrays, scalars) > 1e-2
    assert relative(found, formula, arrays, {**scalars, "alpha": 2 * ALPHA, "beta": 2 * BETA}) > 1e-2
    assert relative(found, formula, {**arrays, "Z": TOKENS + 1}, scalars) > 1e-2


def test_derivatives_have_values():
    along = np.random.default_rng(2).standard_normal((3, 2))
    derivation = compression_rate.GRADIENT
    arrays, scalars = {"Z": TOKENS, "U": BASES, "H": along}, {"beta": BETA}
    assert value(derivation.left, arrays, scalars) == value(derivation.right, arrays, scalars)
    assert value(derivation.left, arrays, scalars) != value(2 * derivation.right, arrays, scalars)


def test_sizes_that_no_array_shows():
    ones = expression.Ones("n")
    assert value(ones.T @ ones, {}, sizes={"n": 4}) == [[4]]
    with pytest.raises(ValueError, match="arrays must agree on n, got 4 and 3"):
        value(ones.T @ Z, {"Z": TOKENS}, sizes={"n": 4})


def test_what_has_no_rational_value_is_refused():
    softmax = attention.MSSA
    with pytest.raises(ValueError, match="a must have rational values, got a softmax"):
        value(softmax, {"Z": TOKENS, "U": BASES}, {"beta": BETA})
    x = sympy.Symbol("x")
    with pytest.raises(ValueError, match="a must have rational values"):
        value(expression.Entrywise(sympy.Lambda(x, sympy.exp(x)), Z), {"Z": TOKENS})


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="arrays must agree on n, got"):
        value(Z + H, {"Z": TOKENS, "H": TOKENS[:2]})
    with pytest.raises(ValueError, match="arrays must agree on K, got"):
        value(
            expression.Sum("k", beta * Z @ compression_rate.U @ expression.Matrix("V", "p", "d", "k")),
            {"Z": TOKENS, "U": BASES, "V": np.ones((3, 1, 2))},
            {"beta": 1},
        )
