"""A case under its three drivers: independent draws, the search, the record."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, find, settings
from hypothesis.strategies import composite

from verify.arrays import Arrays, to_numpy
from verify.case import Case, Condition, Rejected, Replay, Sample, Search, StaleWitness


def draw_everything(case):
    return (
        case.integer("n", 2, 9),
        case.uniform("angle", -1.0, 1.0),
        case.log_uniform("eps", 1e-3, 1e3),
        case.choice("kind", ("orthogonal", "random", None, 3)),
        case.seed(),
    )


def sample(index=0, seed=0, slug="a.b", twin=False):
    return Case(Sample(seed, slug, index, twin=twin))


def test_every_draw_is_recorded_in_order():
    case = sample()
    values = draw_everything(case)
    assert list(case.params) == ["n", "angle", "eps", "kind", "seed"]
    assert tuple(case.params.values()) == values
    assert [type(v) for v in values[:3]] == [int, float, float]


def test_draws_depend_on_seed_claim_index_and_twin_and_nothing_else():
    assert draw_everything(sample()) == draw_everything(sample())
    others = [sample(index=1), sample(seed=1), sample(slug="a.c"), sample(twin=True)]
    drawn = {draw_everything(c) for c in [sample(), *others]}
    assert len(drawn) == 5


def test_samples_fill_their_ranges():
    draws = [draw_everything(sample(index)) for index in range(2000)]
    n, angle, eps, kind, seed = zip(*draws, strict=True)
    assert set(n) == set(range(2, 10))
    assert set(kind) == {"orthogonal", "random", None, 3}
    assert -1 <= min(angle) < -0.99
    assert 0.99 < max(angle) <= 1
    # log-uniform: the share below the middle decade is one half, within five standard deviations
    assert abs(np.mean(np.array(eps) < 1) - 0.5) < 5 * 0.5 / math.sqrt(2000)
    assert 1e-3 <= min(eps) < 1.1e-3
    assert 0.9e3 < max(eps) <= 1e3
    assert len(set(seed)) == 2000
    assert max(seed) < 2**32


def test_a_range_of_one_number_gives_that_number():
    case = sample()
    assert case.integer("i", 3, 3) == 3
    assert case.uniform("u", 0.1, 0.1) == 0.1
    assert case.log_uniform("l", 0.3, 0.3) == 0.3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda c: c.integer("n", 2, 1), "n must have lo <= hi, got 2 and 1"),
        (lambda c: c.uniform("x", 1.0, 0.0), "x must have finite lo <= hi"),
        (lambda c: c.uniform("x", 0.0, math.inf), "x must have finite lo <= hi"),
        (lambda c: c.uniform("x", -math.inf, 0.0), "x must have finite lo <= hi"),
        (lambda c: c.log_uniform("x", 0.0, 1.0), "x must have 0 < lo <= hi"),
        (lambda c: c.log_uniform("x", 2.0, 1.0), "x must have 0 < lo <= hi"),
        (lambda c: c.log_uniform("x", 1.0, math.inf), "x must have 0 < lo <= hi"),
        (lambda c: c.choice("x", ()), "x must have at least one option"),
        (lambda c: (c.seed(), c.seed()), "seed is drawn twice"),
    ],
)
def test_a_draw_that_makes_no_sense_is_told(draw, message):
    with pytest.raises(ValueError, match=message):
        draw(sample())


def test_rng_is_numpys_generator_under_the_recorded_seed():
    case = sample()
    drawn = case.rng("entries").standard_normal(3)
    again = np.random.Generator(np.random.PCG64(case.params["entries"])).standard_normal(3)
    np.testing.assert_array_equal(drawn, again)


def test_complexity_counts_sizes_options_digits_and_seeds():
    def complexity(**params):
        case = Case(Replay(params))
        draw_everything(case)
        return case.complexity

    simplest = {"n": 2, "angle": 0.0, "eps": 1.0, "kind": "orthogonal", "seed": 0}
    assert complexity(**simplest) == (0, 0, 6, 0)
    assert complexity(**{**simplest, "n": 5}) == (3, 0, 6, 0)
    assert complexity(**{**simplest, "kind": None}) == (0, 2, 6, 0)
    assert complexity(**{**simplest, "angle": 0.25}) == (0, 0, 7, 0)
    assert complexity(**{**simplest, "eps": 12.5}) == (0, 0, 7, 0)
    assert complexity(**{**simplest, "seed": 9}) == (0, 0, 6, 9)


# --- hypotheses ---


def test_assume_rejects():
    sample().assume(True)
    with pytest.raises(Rejected):
        sample().assume(np.False_)


def test_wrong_is_right_except_in_the_twin():
    assert sample().wrong("right", "wrong") == "right"
    assert Case(Sample(0, "a.b", 0), twin=True).wrong("right", "wrong") == "wrong"


def test_condition_places_the_instance():
    case = sample()
    assert case.condition("x", np.float64(1.5), 2) is True
    assert case.where == Condition("x", 1.5, 2.0)
    edge = sample()
    assert edge.condition("x", 2.0, 2) is False
    with pytest.raises(ValueError, match="one condition, got 'y' after 'x'"):
        case.condition("y", 1.0, 2)
    with pytest.raises(ValueError, match="'x' must have a value, got nan"):
        sample().condition("x", math.nan, 2)


# --- replay ---


def test_a_record_gives_the_instance_again():
    case = sample(7)
    values = draw_everything(case)
    driver = Replay(case.params)
    again = Case(driver)
    assert draw_everything(again) == values
    assert again.complexity == case.complexity
    driver.require_all_used()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n must be an integer from 2 to 9, got 1"),
        ({"n": 10}, "n must be an integer from 2 to 9, got 10"),
        ({"n": 3.0}, "n must be an integer"),
        ({"n": True}, "n must be an integer"),
        ({"angle": 1.5}, "angle must be a number from -1 to 1, got 1.5"),
        ({"angle": "0"}, "angle must be a number"),
        ({"angle": False}, "angle must be a number"),
        ({"eps": 1e-4}, "eps must be a number from 0.001 to 1000"),
        ({"eps": math.nan}, "eps must be a number"),
        ({"kind": "none"}, "kind must be one of 'orthogonal', 'random', None, 3, got 'none'"),
        ({"seed": -1}, "seed must be an integer"),
        ({"seed": 2**32}, "seed must be an integer"),
    ],
)
def test_a_record_that_no_longer_fits_is_told(change, message):
    case = sample()
    draw_everything(case)
    with pytest.raises(StaleWitness, match=message):
        draw_everything(Case(Replay({**case.params, **change})))


def test_a_record_with_a_name_missing_or_left_over_is_told():
    with pytest.raises(StaleWitness, match="draws angle, which the record does not name"):
        draw_everything(Case(Replay({"n": 3})))
    driver = Replay({"n": 3, "m": 4, "l": 5})
    Case(driver).integer("n", 1, 5)
    with pytest.raises(StaleWitness, match="names l, m, which the check never draws"):
        driver.require_all_used()


# --- search ---


def search(wanted):
    @composite
    def drawn(draw):
        case = Case(Search(draw))
        return draw_everything(case), case.params

    found = find(
        drawn(),
        lambda d: wanted(*d[0]),
        settings=settings(max_examples=1000, derandomize=True, database=None, suppress_health_check=list(HealthCheck)),
    )
    return found[1]


def test_a_search_shrinks_to_the_simplest_of_everything():
    assert search(lambda *_: True) == {"n": 2, "angle": 1.0, "eps": 1.0, "kind": "orthogonal", "seed": 0}


def test_a_search_shrinks_to_what_is_needed_and_no_further():
    found = search(lambda n, angle, eps, kind, seed: n > 4 and eps < 0.2 and kind is None)
    assert found == {"n": 5, "angle": 1.0, "eps": 0.1, "kind": None, "seed": 0}


def test_a_search_stays_in_range():
    @composite
    def drawn(draw):
        return draw_everything(Case(Search(draw)))

    def outside(d):
        n, angle, eps, _, seed = d
        return not (2 <= n <= 9 and -1 <= angle <= 1 and 1e-3 <= eps <= 1e3 and 0 <= seed < 2**32)

    from hypothesis.errors import NoSuchExample

    with pytest.raises(NoSuchExample):
        find(drawn(), outside, settings=settings(max_examples=500, derandomize=True, database=None))


# --- arrays and mixtures ---


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_are_the_ledgers_and_hold_the_same_numbers(library, dtype):
    case = Case(Sample(0, "a.b", 0), Arrays(library, dtype, "cpu"))
    mixture = case.mixture(n=5, d=6, K=2, p=3, coherence=("orthogonal",))
    assert type(mixture.Z).__module__.split(".")[0].removesuffix("lib") == library
    assert str(mixture.Z.dtype).endswith(dtype)
    assert str(mixture.U.dtype).endswith(dtype)
    assert tuple(mixture.Z.shape) == (5, 6)
    assert tuple(mixture.U.shape) == (2, 6, 3)
    assert "int" in str(mixture.labels.dtype)
    there = Case(Sample(0, "a.b", 0)).mixture(n=5, d=6, K=2, p=3, coherence=("orthogonal",))
    np.testing.assert_array_equal(to_numpy(mixture.Z), there.Z.astype(dtype))
    np.testing.assert_array_equal(to_numpy(mixture.labels), there.labels)


def test_a_mixture_is_what_it_says_it_is():
    for index in range(100):
        case = sample(index)
        m = case.mixture(noise=0.0)
        assert m.Z.shape == (m.n, m.d)
        assert m.U.shape == (m.K, m.d, m.p)
        assert m.labels.shape == (m.n,)
        if case.params["coherence"] == "orthogonal":
            assert m.K * m.p <= m.d
        for z, label in zip(m.Z, m.labels, strict=True):  # without noise, each token lies in its subspace
            inside = m.U[label] @ (m.U[label].T @ z)
            np.testing.assert_allclose(inside, z, atol=1e-12 * np.linalg.norm(z))


def test_mixtures_fill_their_ranges():
    cases = [sample(index) for index in range(600)]
    for case in cases:
        case.mixture()
    drawn = {name: [c.params[name] for c in cases] for name in cases[0].params}
    assert set(drawn["n"]) == set(range(1, 25))
    assert set(drawn["K"]) == set(drawn["p"]) == {1, 2, 3, 4}
    assert set(drawn["d"]) == set(range(1, 17))
    assert set(drawn["coherence"]) == {"orthogonal", "random"}
    for name, lo, hi in (("noise", 0.0, 1.0), ("scale", 1e-2, 1e2), ("eps", 1e-2, 10.0)):
        assert lo <= min(drawn[name]) < lo + 0.05 * hi
        assert 0.9 * hi < max(drawn[name]) <= hi


def test_a_mixture_can_be_replayed_and_scales_with_its_scale():
    case = sample(3)
    first = case.mixture()
    again = Case(Replay(case.params)).mixture()
    np.testing.assert_array_equal(first.Z, again.Z)
    half = Case(Replay({**case.params, "scale": case.params["scale"] / 2})).mixture()
    np.testing.assert_array_equal(half.Z * 2, first.Z)
    assert half.eps == first.eps == case.params["eps"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pandas",), "arrays must be one of numpy, cupy, torch, jax, got 'pandas'"),
        (("numpy", "float16"), "dtype must be one of float64, float32, got 'float16'"),
    ],
)
def test_arrays_refuse_what_they_do_not_know(arguments, message):
    with pytest.raises(ValueError, match=message):
        Arrays(*arguments)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (Arrays("numpy", device="cuda"), "device must be cpu for numpy, got 'cuda'"),
        (
            Arrays("torch", device="nonsense"),
            "device must be one that torch can use in float64, got 'nonsense'",
        ),
        (Arrays("jax", device="cpu:x"), "device must be PLATFORM or PLATFORM:N for jax, got 'cpu:x'"),
        (Arrays("jax", device="cpu:99"), "device must be one that jax can use in float64, got 'cpu:99'"),
        (Arrays("cupy"), "arrays must name an installed library, got cupy"),
    ],
)
def test_a_probe_tells_a_missing_library_or_device(arrays, message, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cupy" else real(name))
    with pytest.raises(ValueError, match=message):
        arrays.probe()


def test_a_probe_is_content_with_what_is_there():
    for library in ("numpy", "torch", "jax"):
        Arrays(library, device="cpu").probe()
        Arrays(library).probe()
