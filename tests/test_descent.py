"""check_descent: its verdicts, counts, counterexamples and boundaries, on layers whose behaviour is known."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import srr
from srr import layers, prox
from verify import decide
from verify.counterexample import Subject, simplified, stretch
from verify.descent import QUANTILES, check_descent
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED
from verify.promises import HALVES, Promise, compression, l1, lasso, loss, promises_of, smooth, sparse_rate
from verify.trace import TERMS, trace

MIXTURE = srr.mixtures.sample(n=12, d=6, K=2, p=2, noise=0.1, seed=0)
OBJECTIVE = srr.SparseRateReduction(MIXTURE.U, eps=0.5, lam=0.1)
DRAWS = list(MIXTURE.draws(5))


@dataclass(frozen=True, eq=False)
class Scale(srr.Layer):
    """Multiplies the tokens, in either half."""

    first: float = 1.0
    second: float = 1.0

    def compress(self, Z):
        return Z * self.first

    def sparsify(self, Z):
        return Z * self.second


@dataclass(frozen=True, eq=False)
class Threshold(srr.Layer):
    """Halves tokens of a stretch below ``edge`` and doubles those above, or the other way round."""

    edge: float
    upwards: bool = True

    def compress(self, Z):
        grows = (stretch(Z, OBJECTIVE) > self.edge) == self.upwards
        return 2 * Z if grows else Z / 2

    def sparsify(self, Z):
        return Z


def part(report, half):
    return next(p for p in report.parts if p.half == half)


# --- verdicts ---------------------------------------------------------------------------------------------------


def test_the_descent_layer_holds():
    report = check_descent(layers.descent(MIXTURE.U, eps=0.5, lam=0.1), OBJECTIVE, DRAWS, budget=60)
    assert report.verdict == HOLDS
    assert report.instances == 5
    assert [(p.half, p.quantity) for p in report.parts] == [
        ("compress", "Rc - R"),
        ("sparsify", "|Z|_1"),
        ("layer", "loss"),
    ]
    for p in report.parts:
        assert p.verdict == HOLDS
        assert p.counts["fell"] == 5
        assert sum(p.counts.values()) == 5
        assert p.witness is None
    assert "less than 60 % do" in str(report)


class MyLayer(srr.Layer):
    """As a user would write it."""

    def compress(self, Z):
        return Z + srr.attention.mssa(Z, MIXTURE.U)

    def sparsify(self, Z):
        return prox.ista_step(Z, np.eye(6), step=0.1, lam=0.1)


def test_a_users_layer_is_refuted_with_one_small_token():
    report = check_descent(MyLayer(), OBJECTIVE, DRAWS)
    found = part(report, "compress")
    assert report.verdict == found.verdict == REFUTED
    assert found.counts["rose"] == 5
    witness = found.witness
    assert witness.tokens.shape == (1, 6)
    assert np.count_nonzero(witness.tokens) == 1
    again = decide.subspace_rate_change(witness.tokens, MyLayer().compress(witness.tokens), MIXTURE.U, eps=0.5)
    assert again == witness.judgement.decision
    assert again.lower > 0
    assert "Smallest tokens found on which the compress half raises Rc" in str(report)
    assert "decided by balls, 96 bits" in str(report)


def test_with_a_factory_the_bases_shrink_too():
    def build(objective):
        return layers.crate(objective.U, np.eye(objective.U.shape[1]), rule="residual", eps=objective.eps)

    witness = part(check_descent(build(OBJECTIVE), OBJECTIVE, DRAWS, build=build), "compress").witness
    assert witness.objective.U.tolist() == [[[1.0]]]
    assert witness.tokens.shape == (1, 1)


def test_tokens_shrink_no_further_than_the_layer_takes_them():
    class Twelve(Scale):
        def compress(self, Z):
            if Z.shape[-2] != 12:
                raise ValueError("Z must have 12 tokens")
            return Z * 3

    report = check_descent(Twelve(), OBJECTIVE, DRAWS)
    witness = part(report, "compress").witness
    assert report.verdict == REFUTED
    assert witness.tokens.shape == (12, 6)
    one_digit = [float(f"{x:.1g}") for x in witness.tokens.ravel()]
    assert witness.tokens.ravel().tolist() == one_digit  # the sixty digits of a draw are not what breaks it


def test_a_violation_that_no_draw_shows_is_searched_for():
    # It grows single tokens only, and the draws have twelve.
    class Alone(Scale):
        def compress(self, Z):
            return Z * (2 if Z.shape[-2] == 1 else 0.5)

    unsearched = check_descent(Alone(), OBJECTIVE, DRAWS, budget=0)
    assert part(unsearched, "compress").verdict == HOLDS
    report = check_descent(Alone(), OBJECTIVE, DRAWS)
    assert part(report, "compress").verdict == REFUTED
    assert part(report, "compress").counts["fell"] == 5
    assert len(part(report, "compress").witness.tokens) == 1


def test_a_layer_that_is_no_function_of_its_tokens_is_told():
    class Random(Scale):
        def compress(self, Z):
            return Z * (1 + rng.random())

    class Once(Scale):  # grows each token set the first time it sees it
        def compress(self, Z):
            new = Z.tobytes() not in seen
            seen.add(Z.tobytes())
            return Z * (2 if new else 0.5)

    rng, seen = np.random.default_rng(0), set()
    random = part(check_descent(Random(), OBJECTIVE, DRAWS, budget=20), "compress")
    assert (random.verdict, random.reproduces) == (REFUTED, False)  # it rises each time, by another amount
    report = check_descent(Once(), OBJECTIVE, DRAWS, budget=20)
    assert (part(report, "compress").verdict, part(report, "compress").reproduces) == (UNDECIDED, False)
    assert "it must be a pure function of its tokens" in str(report)
    pure = check_descent(Scale(2.0), OBJECTIVE, DRAWS, budget=20)
    assert part(pure, "compress").reproduces
    assert "pure function" not in str(pure)


def test_the_search_keeps_to_its_budget():
    calls = []

    class Counting(Scale):
        def compress(self, Z):
            calls.append(Z)
            return Z * (2 if np.abs(Z).sum() > 7 else 0.5)  # so that shrinking takes many steps

    found = simplified(Subject(Counting(), OBJECTIVE, promises_of, None, 20), 0, DRAWS[0], None)
    assert found is not None
    assert 20 <= len(calls) <= 22  # it wants more, and gets no more


def test_the_boundary_is_found_from_both_sides():
    edge = 50 * max(stretch(Z, OBJECTIVE) for Z in DRAWS)
    report = check_descent(Threshold(edge), OBJECTIVE, DRAWS, budget=60)
    found = part(report, "compress")
    assert found.verdict == HOLDS_UNDER
    assert found.counts["fell"] == 5
    (boundary,) = found.boundaries
    assert boundary.below
    assert boundary.held <= edge <= boundary.broke <= 1.02 * boundary.held
    assert stretch(found.witness.tokens, OBJECTIVE) > edge
    assert f"kept up to {boundary.held:.3g} and broken from {boundary.broke:.3g}" in str(report)

    (boundary,) = part(
        check_descent(Threshold(0.01, upwards=False), OBJECTIVE, DRAWS, budget=60), "compress"
    ).boundaries
    assert not boundary.below
    assert boundary.held / 1.02 <= boundary.broke <= 0.01 <= boundary.held
    assert f"kept from {boundary.held:.3g}" in str(boundary)


def test_a_draw_beyond_the_boundary_does_not_undo_the_condition():
    edge = 50 * max(stretch(Z, OBJECTIVE) for Z in DRAWS)
    report = check_descent(Threshold(edge), OBJECTIVE, [*DRAWS, 100 * DRAWS[0]], budget=60)
    assert part(report, "compress").verdict == HOLDS_UNDER
    assert part(report, "compress").counts["rose"] == 1
    all_beyond = check_descent(Threshold(edge), OBJECTIVE, [100 * Z for Z in DRAWS], budget=0)
    assert part(all_beyond, "compress").verdict == REFUTED


def test_a_witness_inside_the_boundary_undoes_the_condition():
    # The scaled draws find a boundary; a single token breaks the promise on either side of it.
    class Both(Threshold):
        def compress(self, Z):
            return 2 * Z if Z.shape[-2] == 1 else super().compress(Z)

    found = part(check_descent(Both(1e3), OBJECTIVE, DRAWS, budget=60), "compress")
    assert found.boundaries
    assert found.verdict == REFUTED


def test_tokens_that_are_not_finite_are_no_descent():
    class Broken(Scale):
        def compress(self, Z):
            return Z * np.nan

    report = check_descent(Broken(), OBJECTIVE, DRAWS, budget=50)
    assert report.verdict == REFUTED
    assert part(report, "compress").counts["not finite"] == 5
    assert "the compress half returns no numbers" in str(report)
    assert report.to_dict()["parts"][0]["witness"]["change"] is None


def test_what_cannot_be_decided_is_not_called_a_descent(monkeypatch):
    monkeypatch.setattr(decide, "PRECISIONS", (8,))
    report = check_descent(Scale(1 + 1e-14), OBJECTIVE, DRAWS, budget=0)
    assert part(report, "compress").counts["undecided"] == 5
    assert report.verdict == UNDECIDED


def test_a_level_layer_holds():
    report = check_descent(Scale(), OBJECTIVE, DRAWS, budget=20)
    assert report.verdict == HOLDS
    assert all(p.counts["level"] == 5 for p in report.parts)


# --- rounding ---------------------------------------------------------------------------------------------------


def test_rounding_of_the_layers_own_arithmetic_refutes_nothing():
    report = check_descent(Scale(1 + 2**-52), OBJECTIVE, DRAWS, budget=40)
    assert part(report, "compress").counts["rounding"] == 5
    assert part(report, "compress").verdict == HOLDS
    assert part(check_descent(Scale(1 + 1e-12), OBJECTIVE, DRAWS, budget=0), "compress").verdict == REFUTED


@pytest.mark.parametrize(("factor", "verdict"), [(1 + 2**-22, HOLDS), (1 + 2**-12, REFUTED)])
def test_rounding_is_that_of_the_tokens_dtype(factor, verdict):
    objective = srr.SparseRateReduction(MIXTURE.U.astype(np.float32), eps=0.5, lam=0.1)
    draws = [Z.astype(np.float32) for Z in DRAWS]
    report = check_descent(Scale(np.float32(factor)), objective, draws, budget=0)
    assert part(report, "compress").verdict == verdict


# --- other arrays, batches --------------------------------------------------------------------------------------


def test_torch_layers_are_checked_as_they_are():
    torch = pytest.importorskip("torch")
    U = torch.tensor(MIXTURE.U, dtype=torch.float64)
    layer = layers.descent(U, eps=0.5, lam=0.1)
    objective = srr.SparseRateReduction(U, eps=0.5, lam=0.1)
    draws = [torch.tensor(Z, requires_grad=True) for Z in DRAWS]
    report = check_descent(layer, objective, draws, budget=30)
    assert report.verdict == HOLDS
    assert str(report) == str(
        replace(
            check_descent(layers.descent(MIXTURE.U, eps=0.5, lam=0.1), OBJECTIVE, DRAWS, budget=30),
            changes=report.changes,
        )
    )
    refuted = check_descent(Scale(2.0), objective, draws, budget=30)
    assert isinstance(part(refuted, "compress").witness.tokens, torch.Tensor)
    json.dumps(refuted.to_dict())


def test_a_batch_is_as_many_instances():
    stack = np.stack(DRAWS)
    one_by_one = check_descent(MyLayer(), OBJECTIVE, DRAWS, budget=0)
    batched = check_descent(MyLayer(), OBJECTIVE, [stack[:2], stack[2:][None]], budget=0)
    assert str(batched) == str(one_by_one)


# --- what is reported -------------------------------------------------------------------------------------------


def test_changes_are_quantiles_of_each_term():
    report = check_descent(Scale(0.5, 3.0), OBJECTIVE, DRAWS, budget=0)
    norms = np.array([np.abs(Z).sum() for Z in DRAWS])
    expected = {"compress": -0.5 * norms, "sparsify": 1.0 * norms, "layer": 0.5 * norms}
    for half in HALVES:
        assert report.changes[half]["l1"] == pytest.approx(np.quantile(expected[half], QUANTILES))
        assert report.changes[half]["l0"] == (0.0,) * 5
        assert set(report.changes[half]) == set(TERMS)
    losses = [float(OBJECTIVE.loss(1.5 * Z) - OBJECTIVE.loss(Z)) for Z in DRAWS]
    assert report.changes["layer"]["loss"] == pytest.approx(np.quantile(losses, QUANTILES))


def test_the_text_fits_a_terminal_and_is_the_same_each_time():
    first, second = (str(check_descent(MyLayer(), OBJECTIVE, DRAWS, budget=60)) for _ in range(2))
    assert first == second
    assert max(map(len, first.splitlines())) <= 80
    assert "\x1b" not in first
    assert first.startswith("refuted: MyLayer on 5 token sets, K=2 d=6 p=2 eps=0.5 lam=0.1")


def test_the_report_is_json():
    data = json.loads(json.dumps(check_descent(MyLayer(), OBJECTIVE, DRAWS, budget=60).to_dict()))
    assert data["verdict"] == "refuted"
    assert data["objective"] == {"K": 2, "d": 6, "p": 2, "eps": 0.5, "lam": 0.1}
    compress = data["parts"][0]
    assert (compress["half"], compress["quantity"], compress["counts"]["rose"]) == ("compress", "Rc", 5)
    witness = compress["witness"]
    change = decide.subspace_rate_change(
        *(np.array(witness[name]) for name in ("before", "after", "U")), eps=witness["eps"]
    )
    assert [change.lower, change.upper] == witness["change"]


# --- promises ---------------------------------------------------------------------------------------------------


def test_every_kind_of_layer_has_its_promises():
    D = np.eye(6)
    crate = layers.crate(MIXTURE.U, D, eps=0.5)
    named = {
        MyLayer(): ["Rc", "lam|Z|_1 - R", "loss"],
        crate: ["Rc", "lasso", "loss"],
        layers.PreNorm(crate): ["Rc", "lasso, normed", "loss"],
        layers.official(MIXTURE.U, D): ["Rc", "lasso", "loss"],
        layers.descent(MIXTURE.U, eps=0.5, lam=0.1): ["Rc - R", "|Z|_1", "loss"],
        layers.cbsa(MIXTURE.U, D, r=2, eps=0.5): ["Rc", "lasso", "loss"],
        layers.cbsa_official(MIXTURE.U, D, r=2): ["Rc", "lasso", "loss"],
        layers.implicit_descent(MIXTURE.U, eps=0.5, lam=0.1): ["loss, shrunk", "|Z|_1", "loss"],
        layers.tost_block(MIXTURE.U, np.ones((24, 6)), np.ones((6, 24))): ["Rvar", "lam|Z|_1 - R", "loss"],
    }
    for layer, quantities in named.items():
        promises = promises_of(layer, OBJECTIVE)
        assert [promise.quantity for promise in promises] == quantities
        assert [promise.half for promise in promises] == list(HALVES)
    alone = {
        layers.tost(MIXTURE.U, eps=0.5): "Rvar",
        layers.tost_official(MIXTURE.U): "Rvar",
        layers.aot(MIXTURE.U): "noise share",
        layers.PreNorm(layers.aot(MIXTURE.U)): "noise share",
    }
    for layer, quantity in alone.items():
        promises = promises_of(layer, OBJECTIVE)
        assert [(promise.half, promise.quantity) for promise in promises] == [("compress", quantity), ("layer", "loss")]


def test_token_statistics_keep_their_promise_and_lose_it_uphill():
    for layer in (layers.tost(MIXTURE.U, eps=0.5), layers.tost_official(MIXTURE.U)):
        promise = promises_of(layer, OBJECTIVE)[0]
        for Z in DRAWS:
            after = layer.compress(Z)
            assert promise.judge(Z, after).word == "fell"
            assert promise.judge(Z, 2 * Z - after).word == "rose"
            assert 0 < promise.rounding(Z, after) < 1e-10
    longer = layers.tost(MIXTURE.U, eps=0.5, step=1e3)
    assert promises_of(longer, OBJECTIVE)[0].judge(DRAWS[0], longer.compress(DRAWS[0])).word == "rose"


def test_the_noise_share_is_that_of_the_nearest_subspaces():
    mixture = srr.mixtures.sample(n=8, d=48, K=2, p=24, noise=0.05, confined=True, seed=0)
    objective = srr.SparseRateReduction(mixture.U, 0.5, 0.1)
    layer = layers.aot(mixture.U)
    promise = promises_of(layer, objective)[0]
    after = layer.compress(mixture.Z)
    judged = promise.judge(mixture.Z, after)
    squares = [np.sum(srr.aot.snr(Z, mixture.Pi, mixture.U) ** 2) for Z in (mixture.Z, after)]
    assert judged.word == "fell"
    assert squares[1] > 1.5 * squares[0]
    assert promise.judge(after, mixture.Z).word == "rose"
    assert promise.judge(mixture.Z, 2 * mixture.Z).word in ("level", "rounding")
    assert 0 < promise.rounding(mixture.Z, after) < 1e-10


def test_other_promises_may_be_judged():
    report = check_descent(
        Scale(0.5, 2.0),
        OBJECTIVE,
        DRAWS,
        promises=lambda layer, objective: (l1(objective, "compress"), l1(objective, "layer")),
        budget=0,
    )
    assert [(p.half, p.verdict, p.counts["level"]) for p in report.parts] == [
        ("compress", HOLDS, 0),
        ("layer", HOLDS, 5),
    ]


def values(D, before):
    """Each promise with the plain float64 value of what it is about."""
    U, eps, lam = OBJECTIVE.U, OBJECTIVE.eps, OBJECTIVE.lam
    return [
        (compression(OBJECTIVE), lambda Z: srr.subspace_coding_rate(Z, U, eps=eps)),
        (smooth(OBJECTIVE), lambda Z: -srr.rate_reduction(Z, U=U, eps=eps)),
        (sparse_rate(OBJECTIVE), lambda Z: lam * np.abs(Z).sum() - srr.coding_rate(Z, eps=eps)),
        (l1(OBJECTIVE), lambda Z: np.abs(Z).sum()),
        (lasso(D, lam=0.3), lambda Z: prox.lasso(before, D, Z, lam=0.3)),
        (loss(OBJECTIVE), OBJECTIVE.loss),
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_promise_is_about_the_quantity_it_names(index):
    rng = np.random.default_rng(index)
    before, after = rng.standard_normal((2, 12, 6))
    promise, value = values(rng.standard_normal((6, 6)), before)[index]
    decision = promise.change(before, after)
    assert decision.midpoint == pytest.approx(float(value(after) - value(before)), rel=1e-9)
    # Its slope bounds what a small move of the tokens does to it.
    move = 1e-6 * rng.standard_normal(after.shape)
    rise = abs(float(value(after + move) - value(after)))
    assert rise <= 1.001 * promise.slope(before, after) * np.linalg.norm(move)
    assert promise.slope(before, after) < 100 * rise / np.linalg.norm(move)


def test_the_lasso_has_the_weight_of_the_layer():
    crate = layers.crate(MIXTURE.U, np.eye(6), eps=0.5, lam=0.7)
    half = promises_of(crate, OBJECTIVE)[1]
    expected = decide.lasso_change(DRAWS[0], np.eye(6), DRAWS[0], DRAWS[1], lam=0.7)
    assert half.change(DRAWS[0], DRAWS[1]) == expected


def test_rounding_explains_a_rise_only_if_it_explains_all_of_it():
    Z = DRAWS[0]
    for upper, word in ((1e-13, "rounding"), (1.0, "rose")):
        decision = decide.Decision(1, 0.0, upper, "balls, 96 bits")
        promise = Promise("layer", "x", lambda before, after, d=decision: d, lambda before, after: 1.0)
        assert promise.rounding(Z, Z) > 1e-13
        assert promise.judge(Z, Z).word == word


def test_the_prenorm_lasso_is_that_of_the_normed_tokens():
    crate = layers.crate(MIXTURE.U, np.eye(6), eps=0.5, lam=0.1)
    promise = promises_of(layers.PreNorm(crate), OBJECTIVE)[1]
    after = np.maximum(DRAWS[1], 0)
    normed = layers.layer_norm(DRAWS[0])
    expected = decide.lasso_change(normed, np.eye(6), normed, after, lam=0.1)
    assert promise.change(DRAWS[0], after) == expected


def test_a_promise_names_a_half():
    with pytest.raises(ValueError, match="half must be one of 'compress', 'sparsify', 'layer', got 'both'"):
        Promise("both", "x", lambda before, after: None, lambda before, after: 0.0)


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instances", "error", "message"),
    [
        ([], ValueError, "instances must hold at least one token set, got none"),
        ([DRAWS[0][:, :5]], ValueError, r"instances must have shape \(..., n, 6\), got \(12, 5\)"),
        ([DRAWS[0][0]], ValueError, r"instances must have shape \(..., n, d\)"),
        ([DRAWS[0] * np.inf], ValueError, "instances must be finite"),
        ([DRAWS[0].astype(np.float32)], TypeError, "must have one dtype"),
        ([DRAWS[0].astype(int)], TypeError, "instances must be float32 or float64, got int64"),
        ([DRAWS[0].tolist()], TypeError, "instances must be an array"),
    ],
)
def test_bad_instances_are_named(instances, error, message):
    with pytest.raises(error, match=message):
        check_descent(MyLayer(), OBJECTIVE, instances)


def test_what_the_layer_raises_is_raised():
    class Angry(Scale):
        def compress(self, Z):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        check_descent(Angry(), OBJECTIVE, DRAWS)


# --- traces -----------------------------------------------------------------------------------------------------


def test_a_trace_has_every_half_step_and_layer():
    stack = (layers.descent(MIXTURE.U, eps=0.5, lam=0.1), Scale(2.0, 0.25))
    found = trace(stack, OBJECTIVE, DRAWS[0])
    assert [(step.index, step.half) for step in found.steps] == [(i, h) for i in range(2) for h in HALVES]
    tokens = [step.after for step in srr.unroll(stack, DRAWS[0])]
    for step, Z in zip(found.halves, tokens, strict=True):
        assert step.terms["loss"] == float(OBJECTIVE.loss(Z))
        assert step.terms["l0"] == np.count_nonzero(Z)
    assert found.start["R"] == float(srr.coding_rate(DRAWS[0], eps=0.5))
    assert [step.judgement.word for step in found.steps[3:]] == ["rose", "rose", "fell"]  # R falls by more


def test_a_trace_ends_where_tokens_are_not_finite():
    found = trace((Scale(), Scale(np.inf), Scale()), OBJECTIVE, DRAWS[0])
    assert [(step.index, step.half) for step in found.steps][-1] == (1, "compress")
    assert found.steps[-1].judgement.word == "not finite"
    assert np.isnan(found.steps[-1].terms["R"])


@dataclass(frozen=True, eq=False)
class Halves(srr.Layer):
    """Any two functions."""

    first: object
    second: object

    def compress(self, Z):
        return self.first(Z)

    def sparsify(self, Z):
        return self.second(Z)


def _triple_in_place(Z):
    Z *= 3.0
    return Z


def _small_problem():
    mixture = srr.mixtures.sample(n=12, d=6, K=2, p=2, noise=0.1, seed=0)
    return srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1), mixture


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (_triple_in_place, "compress must leave its argument as it is"),
        (lambda Z: None, "the result of compress must be an array"),
        (lambda Z: Z[:, :2], r"the result of compress must have shape \(12, 6\)"),
        (lambda Z: Z[None], r"the result of compress must have shape \(12, 6\)"),
        (lambda Z: Z.astype(np.float32), "the result of compress"),
    ],
)
def test_a_half_that_is_no_map_of_tokens_is_named(first, message):
    objective, mixture = _small_problem()
    with pytest.raises((TypeError, ValueError), match=message):
        check_descent(Halves(first, lambda Z: Z), objective, [mixture.Z])


def test_the_half_that_returns_nan_takes_the_blame():
    objective, mixture = _small_problem()
    report = check_descent(Halves(lambda Z: Z * np.nan, np.nan_to_num), objective, [mixture.Z], budget=0)
    first, second, _ = report.parts
    assert first.verdict == "refuted"
    assert first.counts["not finite"] == 1
    assert second.verdict == "undecided"
    assert second.counts["no input"] == 1


def test_a_layer_tied_to_its_number_of_tokens_is_judged():
    objective, mixture = _small_problem()

    def grown(Z):
        if Z.shape[0] != 12:
            raise RuntimeError("another number of tokens")
        return 2.0 * Z

    report = check_descent(Halves(grown, lambda Z: Z), objective, [mixture.Z])
    assert report.parts[0].counts["rose"] == 1


@pytest.mark.parametrize(
    ("argument", "value"), [("layer", 5), ("objective", 3), ("instances", 5), ("budget", -1), ("budget", 1.5)]
)
def test_arguments_are_named(argument, value):
    objective, mixture = _small_problem()
    given = {"layer": Halves(np.copy, np.copy), "objective": objective, "instances": [mixture.Z], "budget": 0}
    given[argument] = value
    with pytest.raises((TypeError, ValueError), match=argument):
        check_descent(given.pop("layer"), given.pop("objective"), given.pop("instances"), **given)
