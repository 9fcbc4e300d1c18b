"""The cross-check: a right network is recognised, a wrong one is named or refused, and nothing wrong passes."""

import json
import types
from dataclasses import replace

import depict_faults
import networks
import numpy as np
import pytest
import torch
from crate_faults import DIM, FAULTS, HEADS, network

from verify import Subject, crosscheck
from verify.capture import CaptureError, capture
from verify.cli import main
from verify.comparison import tokens
from verify.forms import KINDS, named
from verify.layouts import LAYOUTS, Tap, constants_of
from verify.matching import Example, match
from verify.models.crate import Crate, Ista

DICTIONARY = np.random.default_rng(0).standard_normal((DIM, DIM)) / 3


def text(check):
    return " ".join(str(check).split())


# --- a right network ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_official_form_is_recognised(dtype):
    check = crosscheck(network(dtype=dtype))
    assert check.passes
    assert {finding.match.verdict for finding in check.findings} == {"known"}
    assert {finding.match.nearest.slug for finding in check.findings} == {
        "norm.torch",
        "crate.mssa",
        "crate.skip",
        "crate.ista",
        "network.passed-on",
    }
    assert not any(finding.match.alike for finding in check.findings)
    assert set(check.own_precision.values()) == ({True} if dtype == torch.float32 else set())


def test_it_says_where_the_official_code_parts_from_the_paper_and_by_how_much():
    check = crosscheck(network())
    attention = next(finding.match for finding in check.findings if finding.match.kind == "attention")
    assert [difference.split(" (not")[0] for difference in attention.theory] == [
        "the softmax has the scale p^-1/2",
        "a free output matrix",
        "with a bias",
    ]
    model, Z = network(), torch.as_tensor(tokens("attention", {"projection": np.ones((1, DIM))})[0][0])
    U = model.transformer.layers[0][0].fn.qkv.weight.unflatten(0, (HEADS, -1)).mT.detach()
    Y = Z[:, None] @ U
    paper = (torch.softmax(Y @ Y.mT, -1) @ Y @ U.mT).sum(1)
    with torch.no_grad():
        effect = (model.transformer.layers[0][0].fn(Z) - paper).norm() / paper.norm()
    assert 0.3 * effect < attention.effect < 3 * effect


def test_a_bias_that_is_not_there_is_no_difference():
    model = network()
    with torch.no_grad():
        for attend, _ in model.transformer.layers:
            attend.fn.to_out[0].bias.zero_()
    attention = next(f.match for f in crosscheck(model).findings if f.match.kind == "attention")
    assert attention.verdict == "known"
    assert not any("bias" in difference for difference in attention.theory)


def test_the_network_is_left_as_it_was():
    model = network(dtype=torch.float32).train()
    before = {name: a.clone() for name, a in model.state_dict().items()}
    crosscheck(model)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(a, before[name]) and a.dtype == torch.float32 for name, a in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_weights_alone_are_told_how_far_their_forms_are_from_the_theory():
    model = network()
    check = crosscheck(model.state_dict(), constants={"heads": HEADS})
    whole = crosscheck(model)
    assert check.passes
    assert [f.match.effect for f in check.findings] == [f.match.effect for f in whole.findings]
    with pytest.raises(ValueError, match="heads"):
        crosscheck(model.state_dict())
    with pytest.raises(ValueError, match="layout"):
        crosscheck({"weight": torch.ones(2)})


# --- wrong networks ---


def named_or_refused(fault, refusal):
    if fault.refused:
        with pytest.raises(refusal, match=fault.says):
            crosscheck(fault.build())
        return
    check = crosscheck(fault.build())
    assert fault.says in text(check)
    assert not check.passes


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_or_refused(name):
    named_or_refused(FAULTS[name], ValueError)


@pytest.mark.parametrize("name", depict_faults.FAULTS)
def test_every_fault_where_queries_attend_to_tokens_is_named_or_refused(name):
    named_or_refused(depict_faults.FAULTS[name], CaptureError)


@pytest.mark.parametrize("name", depict_faults.NO_FAULTS)
def test_other_ways_to_call_the_same_are_none(name):
    assert crosscheck(depict_faults.NO_FAULTS[name]()).passes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_decoder_of_depict_is_recognised(dtype):
    model = depict_faults.decoder(dtype=dtype)
    check = crosscheck(model)
    assert check.passes
    assert check.layout == "depict_decoder"
    assert check.not_judged == ("mask_norm",)
    assert not any(finding.match.alike for finding in check.findings)
    found = {finding.operator: finding.match.nearest.slug for finding in check.findings}
    assert (found["snet.layers.0.fn"], found["cnet.layers.1.fn"]) == ("depict.mssa", "depict.msca")
    assert found["cls_emb"] == found["output of snorm to input of cnet"] == "network.passed-on"
    assert set(check.own_precision.values()) == ({True} if dtype == torch.float32 else set())
    assert crosscheck(model.state_dict(), layout="depict_decoder", constants={"heads": depict_faults.HEADS}).passes


def test_a_decoder_that_asks_for_the_size_of_its_image_is_given_one():
    model = depict_faults.decoder()
    model.forward = types.MethodType(lambda self, z, im_size: type(self).forward(self, z, im_size), model)
    assert crosscheck(model).passes
    model.forward = types.MethodType(lambda self, z: type(self).forward(self, z), model)
    with pytest.raises(CaptureError, match=r"must run on tokens .*; got TypeError"):
        crosscheck(model)


def test_parts_that_the_layout_does_not_know_are_let_be_or_named():
    """A decoder with output matrices is the layout's no more: what is left of it is judged, and said to be all."""
    model = depict_faults.with_outputs()
    check = crosscheck(model)
    assert (check.layout, check.not_judged) == ("depict", ("cls_emb", "cnet", "snorm", "cnorm", "mask_norm"))
    check = crosscheck(model, layout="depict_decoder")
    assert [finding.operator for finding in check.findings if not finding.match.passes] == [
        "cnet.layers.0.fn",
        "cnet.layers.1.fn",
    ]


def test_queries_and_tokens_that_have_changed_places_are_named_where_they_are_as_many():
    rng = np.random.default_rng(0)
    U, drawn = rng.standard_normal((8, DIM)) / 3, rng.standard_normal((2, 2, 5, DIM))

    def attend(Z, Q):
        Y, X = ((a @ U.T).reshape(2, 5, 2, 4).swapaxes(1, 2) for a in (Z, Q))
        shares = np.exp(X @ Y.swapaxes(-1, -2) / 2)
        return (shares / shares.sum(-1, keepdims=True) @ Y).swapaxes(1, 2).reshape(2, 5, 8) @ U

    given = {"kind": "cross_attention", "weights": {"projection": U}, "constants": {"heads": 2}, "inputs": [drawn]}
    assert crosscheck(Subject(attend, **given, form="depict.msca")).passes
    check = crosscheck(Subject(lambda Z, Q: attend(Q, Z), **given))
    assert not check.passes
    assert "the two have changed places" in text(check)


def test_two_faults_in_one_operator_are_both_named():
    def forward(Z):
        return np.maximum(Z + 0.1 * (Z - Z @ DICTIONARY) @ DICTIONARY.T - 0.1, 0)

    (finding,) = crosscheck(Subject(forward, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1})).findings
    assert finding.match.verdict == "departs"
    assert [departure.split(" (not")[0] for departure in finding.match.departures] == [
        "D and its transpose have changed places",
        "the threshold is lam, without eta",
    ]


@pytest.mark.parametrize("name", ["crate_alpha", "vit", "bert", "tost", "cbsa", "depict", "redunet"])
@pytest.mark.parametrize("end", ["in", "out"])
def test_what_is_done_at_the_ends_of_a_trunk_is_found(name, end):
    def forward(trunk, z):
        once = type(trunk).forward
        return once(trunk, 2 * z) if end == "in" else 2 * once(trunk, z)

    model = networks.network(name)
    trunk = model.get_submodule(LAYOUTS[name].trunk)
    trunk.forward = types.MethodType(forward, trunk)
    wrong = [finding.operator for finding in crosscheck(model).findings if not finding.match.passes]
    assert len(wrong) == 1


def test_a_scale_that_is_right_for_six_tokens_alone_is_found():
    """n^-1/2 for p^-1/2: heads of dimension 6, and sets of 6 tokens."""
    model = networks.network(
        "crate", make=lambda: Crate(image_size=8, patch_size=2, num_classes=5, dim=12, depth=1, heads=2)
    )
    attend = model.transformer.layers[0][0].fn

    def forward(self, z):
        y = self.qkv(z).unflatten(-1, (2, -1)).transpose(1, 2)
        return self.to_out((torch.softmax(z.shape[1] ** -0.5 * y @ y.mT, dim=-1) @ y).transpose(1, 2).flatten(2))

    attend.forward = types.MethodType(forward, attend)
    assert not crosscheck(model).passes


def test_a_fault_that_one_token_alone_shows_is_found_between_submodules():
    model = networks.network("bert")
    for layer in model.encoder.layer:
        layer.attention.self.forward = types.MethodType(
            lambda self, z: type(self).forward(self, z) * (2 if z.shape[1] == 1 else 1), layer.attention.self
        )
    assert not crosscheck(model).passes


def test_a_function_that_writes_to_its_input_is_judged_by_what_it_was_given():
    def forward(Z):
        Z += 1
        return np.maximum(Z + 0.1 * (Z - Z @ DICTIONARY.T) @ DICTIONARY - 0.01, 0)

    subject = Subject(forward, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1})
    assert not crosscheck(subject).passes


def test_complex_results_are_refused():
    subject = Subject(lambda Z: np.maximum(Z, 0) + 1j, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1}, name="mine")
    with pytest.raises(ValueError, match="mine must give real numbers, got complex128"):
        crosscheck(subject)


def test_an_operator_that_takes_more_than_its_tokens_is_called_again_with_all():
    def attend(self, z, mask):
        return type(self).forward(self, z) + mask, None

    def half(self, z):
        return self.output(self.self(z, torch.zeros(1, dtype=z.dtype))[0], z)

    model = networks.network("bert")
    for layer in model.encoder.layer:
        layer.attention.self.forward = types.MethodType(attend, layer.attention.self)
        layer.attention.forward = types.MethodType(half, layer.attention)
    assert crosscheck(model).passes


def test_a_layer_that_is_right_is_not_called_after_the_fault_of_the_last():
    """The first leaves out its bias; the second has none to leave out."""

    def forward(self, z):
        return type(self).forward(self, z) - self.to_out[0].bias

    model = network()
    first, second = (attend.fn for attend, _ in model.transformer.layers)
    with torch.no_grad():
        first.to_out[0].bias.fill_(1)
        second.to_out[0].bias.zero_()
    first.forward = types.MethodType(forward, first)
    verdicts = [f.match.verdict for f in crosscheck(model).findings if f.match.kind == "attention"]
    assert verdicts[1] == "known"


def test_a_network_that_does_not_run_is_refused_in_one_sentence():
    model = network()
    model.transformer.forward = lambda z: z.unflatten(1, (5, -1))
    with pytest.raises(CaptureError, match=r"must run on tokens \(2, 6, 12\) in float64, .*; got RuntimeError"):
        crosscheck(model)


def test_a_fault_in_one_layer_of_many_is_found_there():
    model = network(depth=4)
    bad = model.transformer.layers[2][1].fn
    bad.forward = lambda z: torch.relu(z + 0.1 * ((z - z @ bad.weight.T) @ bad.weight))
    wrong = [finding.operator for finding in crosscheck(model).findings if not finding.match.passes]
    assert wrong == ["transformer.layers.2.1.fn"]


@pytest.mark.parametrize("limit", [10, 1000])
def test_a_limit_that_only_later_layers_have_is_found(limit):
    """Behind ISTA of normalised tokens all are small, whatever came in."""

    def forward(self, z):
        for i, (attend, sparsify) in enumerate(self.layers):
            half = attend(z) + z
            z = sparsify(half.clamp(-limit, limit) if i == 1 else half)
        return z

    model = network()
    model.transformer.forward = types.MethodType(forward, model.transformer)
    wrong = [finding.operator for finding in crosscheck(model).findings if not finding.match.passes]
    assert wrong == ["transformer.layers.1.0.skip"]


def test_what_is_done_is_told_as_it_goes():
    told = []
    check = crosscheck(network(), progress=lambda said, total: told.append((said, total)))
    assert told == [(finding.operator, len(check.findings)) for finding in check.findings]


def test_a_difference_too_small_for_single_precision_is_found():
    """The operators are judged in float64 whatever the network is in: λ is off by 1e-5 of itself."""
    model = network(dtype=torch.float32)
    for _, sparsify in model.transformer.layers:
        sparsify.fn.lambd = 0.1 * (1 + 1e-5)
    check = crosscheck(model, constants={"lambd": 0.1})
    assert not check.passes
    assert "lam is 0.100001" in text(check)


def test_half_precision_weights_are_judged_as_they_are():
    check = crosscheck(network().to(torch.bfloat16))
    assert check.findings
    assert {finding.match.verdict for finding in check.findings} == {"known"}


def test_another_form_is_not_the_one_that_was_asked_for():
    def forward(Z):
        Y = Z @ DICTIONARY.T
        logits = np.where(np.tril(np.ones((Z.shape[1],) * 2)) > 0, DIM**-0.5 * Y @ np.swapaxes(Y, 1, 2), -np.inf)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True) @ Y @ DICTIONARY.T

    weights = {"projection": DICTIONARY, "output": DICTIONARY}
    for slug, verdict in (("", "known"), ("crate.mssa-causal", "known"), ("crate.mssa", "other")):
        found = crosscheck(Subject(forward, "attention", weights, {"heads": 1}, form=slug)).findings[0].match
        assert (found.verdict, found.nearest.slug) == (verdict, "crate.mssa-causal")


# --- what examples do and do not tell ---


def test_examples_that_tell_too_little_are_said_to():
    """Tokens that are all alike do not tell over what the softmax is."""
    weights = {"projection": DICTIONARY}
    Z = np.ones((1, 4, DIM))
    found = match("attention", [Example((Z,), Z @ DICTIONARY.T @ DICTIONARY)], weights, {"heads": 2})
    assert any("the softmax is over the queries" in other for other in found.alike)


def test_rounding_in_a_low_precision_may_leave_it_undecided():
    rng = np.random.default_rng(1)
    weights = {"projection": rng.standard_normal((DIM, DIM))}
    Z = 0.01 * rng.standard_normal((1, 5, DIM))
    result = named("crate.mssa").form
    from verify.bounded import PRECISIONS, exact

    value = result(exact(Z, PRECISIONS["float64"]), weights=weights, constants={"heads": 3}).value
    found = match("attention", [Example((Z,), value)], weights, {"heads": 3}, precision="bfloat16")
    assert found.verdict == "undecided"
    assert not found.passes
    assert match("attention", [Example((Z,), value)], weights, {"heads": 3}).verdict == "known"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kind, examples: ("mssa", examples), "kind must be one of"),
        (lambda kind, examples: (kind, []), "examples must be at least one"),
        (
            lambda kind, examples: (kind, [Example((np.full((1, 2, DIM), np.nan),), np.ones(1))]),
            "examples must be finite",
        ),
    ],
)
def test_bad_input_to_match_is_named(change, message):
    kind, examples = change("ista", [Example((np.ones((1, 2, DIM)),), np.ones((1, 2, DIM)))])
    with pytest.raises(ValueError, match=message):
        match(kind, examples, {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1})


@pytest.mark.parametrize("name", networks.SMALL)
def test_every_network_is_what_its_layout_says(name):
    """All operators of srr's own networks are known, each in the form that its layout names."""
    model = networks.network(name)
    check = crosscheck(model)
    assert check.layout == name
    assert check.passes
    assert crosscheck(model, inputs=networks.feed_trunk(name)).passes
    operators = LAYOUTS[name].operators(model.state_dict(), **constants_of(model))
    assert len(check.findings) == len(operators)
    for finding, operator in zip(check.findings, operators, strict=True):
        assert finding.match.verdict == "known"
        assert not operator.form or finding.match.nearest == named(operator.form) in KINDS[operator.kind].named


SPECTRAL = {
    "W": (lambda W, v: torch.einsum("bi...,hi...->bh...", v, W), "their conjugate transposes map each spectrum"),
    "W^T": (lambda W, v: torch.einsum("bi...,ih...->bh...", v, W), "their complex conjugates map each spectrum"),
    "conj(W)": (lambda W, v: torch.einsum("bi...,hi...->bh...", v, W.conj()), "their transposes map each spectrum"),
    "2 W^*": (lambda W, v: 2 * torch.einsum("bi...,ih...->bh...", v, W.conj()), "is no known form"),
}


@pytest.mark.parametrize("fault", SPECTRAL)
@pytest.mark.parametrize("name", ["redunet_fourier_1d", "redunet_fourier_2d"])
def test_what_is_done_to_spectra_is_found(name, fault):
    """The weight is W, and W* is applied: E, as the form has it, is W*."""
    wrong, says = SPECTRAL[fault]
    model = networks.network(name)
    layer = next(part for part in model if hasattr(part, "E"))
    for part in (layer.E, *layer.Cs):
        part.forward = types.MethodType(lambda self, v: wrong(self.weight, v), part)
    check = crosscheck(model)
    assert [finding.match.passes for finding in check.findings if finding.match.kind == "redunet_fourier"] == [
        False,
        True,
    ]
    assert says in text(check)


def test_single_precision_spectra_are_judged_by_that():
    model = networks.SMALL["redunet_fourier_1d"]()
    check = crosscheck(model)
    assert check.passes
    assert set(check.own_precision.values()) == {True}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: crosscheck([]), "target must have at least one operator"),
        (lambda: crosscheck(network(), layout="nope"), "layout must be one of crate, "),
        (
            lambda: crosscheck(network(), constants={"heads": 5}),
            "heads must divide the 12 rows of the projection, got 5",
        ),
        (
            lambda: crosscheck(network(), constants={"heads": 0}),
            "heads must divide the 12 rows of the projection, got 0",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(check, message):
    with pytest.raises(ValueError, match=message):
        check()


# --- capture ---


def test_hooks_go_when_the_run_fails():
    model = network()
    with pytest.raises(ValueError, match="not enough values"):
        capture(model, lambda: model(torch.zeros(1, 2)), [Tap("transformer", "input")])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_is_captured_survives_a_change_in_place():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(inplace=True)).double()
    Z = torch.randn(4, 3, dtype=torch.float64)
    got = capture(model, lambda: model(Z), [Tap("0", "output")])
    assert torch.equal(got[Tap("0", "output")], model[0](Z))
    with pytest.raises(CaptureError, match="changed in place"):
        capture(model, lambda: model(Z), [Tap("1", "output")])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_the_same_only_as_itself(value):
    class Mended(torch.nn.Module):
        def forward(self, z):
            return z.nan_to_num_()

    Z = torch.randn(4, 3, dtype=torch.float64)
    Z[1, 2] = value
    model = torch.nn.Sequential(torch.nn.Identity(), Mended())
    tap = Tap("0", "output")
    assert torch.equal(capture(model, lambda: model(Z.clone()), [tap])[tap].isfinite(), Z.isfinite())
    with pytest.raises(CaptureError, match="changed in place"):
        capture(model, lambda: model(Z.clone()), [Tap("1", "input")])


# --- other libraries ---


def test_a_function_of_jax_is_checked_as_well():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def forward(Z, D, lam):
        return jax.nn.relu(Z + 0.1 * (Z - Z @ D.T) @ D - 0.1 * lam)

    with jax.enable_x64(True):
        for lam, verdict in ((0.1, "known"), (0.0, "departs")):
            function = jax.jit(lambda Z, lam=lam: forward(Z, jnp.asarray(DICTIONARY), lam))
            subject = Subject(function, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1}, form="crate.ista")
            assert crosscheck(subject).findings[0].match.verdict == verdict


def ista_subject(dtype, *, lam=0.1, **given):
    """ISTA of the published code as a torch Module, and what it should be."""
    torch.manual_seed(0)
    module = Ista(DIM, lambd=lam).to(dtype)
    return Subject(module, "ista", {"D": module.weight}, {"eta": 0.1, "lam": 0.1}, form="crate.ista", **given)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_torch_module_is_fed_tensors_of_its_own_and_judged_by_their_rounding(dtype):
    subject = ista_subject(dtype, name="mine")
    seen = []
    subject.function.train()
    subject.function.register_forward_hook(lambda module, args, result: seen.append((args[0], module.training)))
    check = crosscheck(subject)
    assert check.passes
    assert {(a.dtype, training) for a, training in seen} == {(dtype, False)}
    assert subject.function.training
    name = str(dtype).removeprefix("torch.")
    assert check.findings[0].match.precision == check.to_dict()["operators"][0]["precision"] == name
    assert ("judged by rounding in" in text(check)) == (dtype != torch.float64)
    wrong = crosscheck(ista_subject(dtype, lam=0.2))
    assert not wrong.passes
    assert "the threshold is 2 eta lam" in text(wrong)
    numpy = replace(subject, weights={"D": subject.function.weight.detach().double().numpy()})
    assert crosscheck(numpy).findings[0].match.precision == name


def test_a_module_in_single_precision_is_not_measured_by_that_of_double():
    """What single precision rounds off, bounds of double do not allow."""
    assert crosscheck(ista_subject(torch.float32)).passes
    check = crosscheck(ista_subject(torch.float32, precision="float64"))
    assert not check.passes
    assert "computed in float32" in text(check)


def test_a_function_of_tensors_is_fed_tensors():
    D = torch.as_tensor(DICTIONARY).float().requires_grad_()
    kinds = set()

    def forward(Z, sign=1):
        kinds.add((type(Z), Z.dtype))
        return torch.relu(Z + sign * 0.1 * (Z - Z @ D.T) @ D - 0.1 * 0.1)

    given = {"kind": "ista", "constants": {"eta": 0.1, "lam": 0.1}, "form": "crate.ista"}
    assert crosscheck(Subject(forward, weights={"D": D}, **given)).passes
    assert kinds == {(torch.Tensor, torch.float32)}
    uphill = Subject(lambda Z: forward(Z, -1), weights={"D": D}, **given)
    assert "the gradient step goes uphill" in text(crosscheck(uphill))
    assert crosscheck(Subject(forward, weights={"D": D.detach().numpy()}, like=D, **given)).passes


def test_what_is_no_number_of_a_dtype_tells_nothing_of_what_a_function_takes():
    integers = Subject(
        lambda Z: np.maximum(Z - 0.01, 0), "ista", {"D": np.eye(DIM, dtype=int)}, {"eta": 0.1, "lam": 0.1}
    )
    assert crosscheck(integers).passes
    with pytest.raises(ValueError, match="like must be an array, got 'float64'"):
        crosscheck(replace(integers, like="float64"))


def test_a_module_without_parameters_is_fed_tensors_like_its_weights():
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.D = torch.as_tensor(DICTIONARY).float()

        def forward(self, Z):
            return torch.relu(Z + 0.1 * (Z - Z @ self.D.T) @ self.D - 0.1 * 0.1)

    module = Plain()
    given = {"kind": "ista", "constants": {"eta": 0.1, "lam": 0.1}, "form": "crate.ista"}
    check = crosscheck(Subject(module, weights={"D": module.D}, **given))
    assert (check.passes, check.findings[0].match.precision) == (True, "float32")


@pytest.mark.parametrize("shape", [(0, DIM), (2, 0, DIM)])
def test_nothing_is_judged_by_no_tokens(shape):
    subject = Subject(
        lambda Z: 3 * Z + 7, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1}, inputs=[(np.zeros(shape),)]
    )
    with pytest.raises(ValueError, match="at least one with a number in it"):
        crosscheck(subject)


def test_what_a_function_does_not_take_is_told_with_what_it_was_given():
    D = torch.as_tensor(DICTIONARY)
    mine = Subject(lambda Z: Z @ D, "ista", {"D": DICTIONARY}, {"eta": 0.1, "lam": 0.1}, name="mine")
    given = r"function of mine must take arrays \(2, 6, 12\) of numpy in float64, or others by like=, and give an array"
    with pytest.raises(ValueError, match=given):
        crosscheck(mine)
    assert not crosscheck(replace(mine, like=D)).passes
    with pytest.raises(ValueError, match=r"must be of float64, .*, got int64"):
        crosscheck(replace(mine, like=np.arange(2)))
    with pytest.raises(ValueError, match=r"precision must be one of float64, .*, got 'double'"):
        crosscheck(replace(mine, like=D, precision="double"))
    with pytest.raises(ValueError, match="mine must give real numbers, got complex64"):
        crosscheck(replace(mine, function=lambda Z: Z.to(torch.complex64), like=D))


def test_inputs_that_a_module_cannot_hold_are_judged_as_it_was_given_them():
    inputs = [(a,) for (a,) in tokens("ista", {"D": DICTIONARY})]
    assert not np.array_equal(inputs[0][0], inputs[0][0].astype(np.float32))
    single = torch.zeros(1, dtype=torch.float32)
    subject = ista_subject(torch.float64, inputs=inputs, like=single, precision="float64")
    exact = replace(subject, function=lambda Z: subject.function(Z.double()))
    assert crosscheck(exact).passes


def test_a_function_in_single_precision_is_judged_by_that():
    D = torch.as_tensor(DICTIONARY).float()

    def forward(Z):
        Z = torch.as_tensor(Z).float()
        return torch.relu(Z + 0.1 * (Z - Z @ D.T) @ D - 0.1 * 0.1).double()

    weights = {"D": D}
    in_float32 = [(a.astype(np.float32).astype(np.float64),) for (a,) in tokens("ista", weights)]
    like = np.zeros(1)  # takes what NumPy has, whatever its weights are
    subject = Subject(
        forward, "ista", weights, {"eta": 0.1, "lam": 0.1}, inputs=in_float32, precision="float32", like=like
    )
    assert crosscheck(subject).findings[0].match.verdict == "known"


# --- the command ---


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_command_names_what_it_finds(somewhere, capsys):
    (somewhere / "nets_one.py").write_text(
        "from crate_faults import FAULTS, network\nbad = FAULTS['no threshold'].build\n"
    )
    assert main(["crosscheck", "nets_one:network"]) == 0
    out = capsys.readouterr().out
    assert "25 operators: 25 known" in out
    assert "Not judged, outside the layers: pos_embedding, cls_token, to_patch_embedding, mlp_head." in " ".join(
        out.split()
    )
    assert max(map(len, out.splitlines())) <= 80
    assert main(["crosscheck", "nets_one:bad", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    wrong = [operator for operator in data["operators"] if operator["verdict"] != "known"]
    assert [operator["operator"] for operator in wrong] == ["transformer.layers.0.1.fn", "transformer.layers.1.1.fn"]
    assert wrong[0]["departures"] == ["the threshold lam is missing (not: the threshold is eta lam)"]


def test_the_command_takes_words_and_constants(somewhere, capsys):
    torch.save(networks.network("crate_gpt").state_dict(), "text.pt")
    np.save("words.npy", np.arange(14).reshape(2, 7) % 11)
    assert main(["crosscheck", "text.pt", "--heads", "3", "--inputs", "words.npy"]) == 0
    assert "known" in capsys.readouterr().out
    torch.save(networks.network("redunet").state_dict(), "redunet.pt")
    assert main(["crosscheck", "redunet.pt", "--constant", "eta=0.5", "lmbda=2"]) == 0
    assert "eta=0.5, lam=2" in " ".join(capsys.readouterr().out.split())
    assert main(["crosscheck", "redunet.pt", "--layout", "somewhere"]) == 2
    assert "layout must be one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nets_two", "target must be package.module:name"),
        ("nowhere_at_all:x", "target must be importable"),
        ("nets_two:other", "target must be in nets_two, which has no other"),
        ("nets_two:number", "target must be a torch Module, .* or Subjects, got int"),
        ("nets_two:fails", "target must be made by nets_two:fails\\(\\), got ZeroDivisionError"),
        ("nets_two:compiled", "must not be compiled"),
    ],
)
def test_the_command_refuses_in_one_sentence(somewhere, capsys, target, message):
    (somewhere / "nets_two.py").write_text(
        "from crate_faults import FAULTS\nnumber = 3\n"
        "def fails():\n    1 / 0\ncompiled = FAULTS['a compiled part'].build\n"
    )
    assert main(["crosscheck", target]) == 2
    err = capsys.readouterr().err
    assert __import__("re").search(message, err)
    assert len(err.splitlines()) == 2
