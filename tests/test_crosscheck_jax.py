"""The cross-check of networks in JAX: Flax modules and plain functions are recognised, and their faults are named."""

import flax_networks
import jax
import jax.numpy as jnp
import jax_networks
import numpy as np
import pytest
from flax import nnx

from verify import crosscheck
from verify.capture_error import CaptureError
from verify.capture_jax import watch
from verify.cli import main
from verify.layouts import LAYOUTS, Tap

HEADS = {"heads": jax_networks.HEADS}


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _in_float32():
    """JAX's default, which other tests of the same process may have left."""
    with jax.enable_x64(False):
        yield


def text(check):
    return " ".join(str(check).split())


def checked(fault="", **options):
    target = (jax_networks.crate(fault), jax_networks.parameters())
    return crosscheck(target, layout=jax_networks.LAYOUT, constants=HEADS, **options)


# --- right networks ---


def test_the_official_network_in_flax_is_recognised():
    check = crosscheck(flax_networks.crate_alpha())
    assert check.passes
    assert check.layout == "crate_alpha_jax"
    assert {finding.match.nearest.slug for finding in check.findings} == {
        "norm.flax",
        "crate.mssa",
        "crate.skip",
        "alpha.ista",
        "network.passed-on",
    }
    assert set(check.own_precision.values()) == {True}
    assert check.not_judged == ("cls", "embedding", "encoder_norm", "head", "pos_embedding")
    places = {finding.operator for finding in check.findings}
    assert "Transformer/encoderblock_1/OvercompleteISTABlock_0" in places
    assert not any(finding.match.alike for finding in check.findings)


def test_a_function_around_a_module_and_what_it_is_run_on():
    module, params = flax_networks.crate_alpha()
    f = jax.jit(lambda p, images: jax.nn.softmax(module.apply(p, images)))
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3))
    assert crosscheck((f, params), inputs=images).passes
    with pytest.raises(
        CaptureError, match=r"must run on \(2, 3\) in float64, or on inputs that are given; got ValueError"
    ):
        crosscheck((f, params), inputs=images[0, 0, :2])


def test_a_plain_function_is_recognised_by_its_tags():
    check = checked()
    assert check.passes
    assert {finding.match.nearest.slug for finding in check.findings} == {
        "norm.torch",
        "crate.mssa",
        "crate.skip",
        "crate.ista",
        "network.passed-on",
    }
    assert set(check.own_precision.values()) == {True}


def test_what_is_compiled_or_computed_twice_is_seen_as_well():
    f = jax_networks.crate()
    target = (jax.jit(lambda p, z: jax.checkpoint(f)(p, z)), jax_networks.parameters())
    assert crosscheck(target, layout=jax_networks.LAYOUT, constants=HEADS).passes


def test_modules_of_nnx_are_recognised():
    model = flax_networks.Crate()
    classes = {type(module): type(module).__dict__.get("__call__") for _, module in nnx.iter_modules(model)}
    check = crosscheck(model, layout=flax_networks.CRATE)  # which tell the heads
    assert check.passes
    assert "blocks/0/attend" in {finding.operator for finding in check.findings}
    assert {cls: cls.__dict__.get("__call__") for cls in classes} == classes


def test_float64_is_left_as_it_was():
    before = jnp.ones(1).dtype
    checked()
    assert jnp.ones(1).dtype == before


# --- wrong networks ---

PLAIN = {
    "no scale": "the softmax has no scale",
    "scale 1/p": "the softmax has the scale 1/p",
    "softmax over the queries": "the softmax is over the queries",
    "softmax over the heads": "the softmax is over the heads",
    "no bias": "without the bias",
    "the heads turned round": "is no known form; the nearest is MSSA",
    "the projection reshaped": "is no known form; the nearest is MSSA",
    "D transposed": "D and its transpose have changed places",
    "no residual": "the part -D^T D Z of the gradient is missing",
    "no gradient": "the gradient is missing",
    "the residual added": "the residual is Z + DZ",
    "lambda missing": "the threshold lam is missing",
    "lambda squared": "lam is 0.01 (not: 0.1)",
    "twice the threshold": "the threshold is 2 eta lam",
    "no skip": "is no skip, as around the official ISTA",
    "the update taken off": "is Z - update, as in the decoder",
    "half the sum": "the whole is halved",
    "later tokens clipped": "UNKNOWN: blocks/1/attend/norm.skip",
    "the floor squared": "1e-10, the square of 1e-5, is added to the variance",
    "what comes out is scaled": "UNKNOWN: output of blocks/1/code to output of the model",
}


@pytest.mark.parametrize("fault", PLAIN)
def test_every_fault_of_a_plain_function_is_named(fault):
    check = checked(fault)
    assert PLAIN[fault] in text(check)
    assert not check.passes


FLAX = {
    "no scale": "the softmax has no scale",
    "a causal mask": "is causal MSSA as in the official code",
    "heads in another order": "is no known form; the nearest is MSSA",
    "half precision inside": "computed in float16",
    "lambda missing": "the threshold lam is missing",
    "the gradient goes uphill": "each step goes uphill",
    "one dictionary": "as in the paper of CRATE-alpha",
    "the floor of torch": "is LayerNorm as in torch",
    "no skip": "is no skip",
    "the update taken off": "is Z - update",
    "large tokens are clipped": "UNKNOWN: Transformer/encoderblock_0/LayerNorm_1.skip",
    "what comes in is scaled": "UNKNOWN: input of Transformer to input of Transformer/encoderblock_0",
}


@pytest.mark.parametrize("fault", FLAX)
def test_every_fault_in_flax_is_named(fault):
    check = crosscheck(flax_networks.crate_alpha(fault))
    assert FLAX[fault] in text(check)
    assert not check.passes


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("D transposed", "D and its transpose have changed places"),
        ("softmax over the queries", "the softmax is over the queries"),
        ("no skip", "is no skip"),
    ],
)
def test_faults_in_modules_of_nnx_are_named(fault, says):
    check = crosscheck(flax_networks.Crate(fault), layout=flax_networks.CRATE)
    assert says in text(check)
    assert not check.passes


# --- what cannot be watched ---


def test_a_layer_that_is_taken_twice_is_refused():
    with pytest.raises(CaptureError, match=r"encoderblock_0 must be called once in one run, got 2 calls"):
        crosscheck(flax_networks.crate_alpha("a shared layer"))


def test_weights_taken_without_a_call_are_refused():
    with pytest.raises(CaptureError, match=r"blocks/0/attend must be called once .* takes its weights without calling"):
        crosscheck(flax_networks.Crate("weights taken without a call"), layout=flax_networks.CRATE)


def test_values_that_are_not_shown_are_named():
    target = (jax_networks.crate(tags=False), jax_networks.parameters())
    with pytest.raises(CaptureError, match=r"must show 'output of blocks/0/attend/norm', .* got the tags none"):
        crosscheck(target, layout=jax_networks.LAYOUT, constants=HEADS)


def test_what_is_traced_has_no_value():
    module, params = flax_networks.crate_alpha()
    f = lambda p, images: jax.vmap(lambda image: module.apply(p, image[None])[0])(images)  # noqa: E731
    with pytest.raises(CaptureError, match="must be called outside of vmap, scan and grad"):
        crosscheck((f, params))


def test_another_result_each_time_is_refused():
    f, calls = jax_networks.crate(), []

    def noisy(params, z):
        calls.append(0)
        return f(params, z + len(calls))

    with pytest.raises(CaptureError, match="must be the same for the same input, got another by up to 1"):
        crosscheck((noisy, jax_networks.parameters()), layout=jax_networks.LAYOUT, constants=HEADS)


def test_what_does_not_run_and_what_is_no_number_is_refused():
    def fails(params, z):
        raise RuntimeError("not today")

    params = jax_networks.parameters()
    with pytest.raises(CaptureError, match=r"must run on \(2, 6, 12\) in float64, .*; got RuntimeError: not today"):
        crosscheck((fails, params), layout=jax_networks.LAYOUT, constants=HEADS)
    params["blocks"][1]["code"]["D"] = params["blocks"][1]["code"]["D"].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="must have finite weights, got nan in blocks/1/code/D"):
        crosscheck((jax_networks.crate(), params), layout=jax_networks.LAYOUT, constants=HEADS)


def test_nothing_is_left_behind_when_a_run_fails():
    from jax.extend.core.primitives import name_p

    before = name_p.impl
    with pytest.raises(ZeroDivisionError):
        watch(lambda z: 1 / 0, jnp.ones(2))
    assert name_p.impl is before
    seen = watch(lambda z: jax.ad_checkpoint.checkpoint_name(2 * z, "output of x"), jnp.ones(2))
    np.testing.assert_array_equal(seen.at(Tap("x", "output")), 2 * np.ones(2))
    assert seen.at(Tap("y", "output")) is None


# --- weights alone, and the command ---


def test_weights_in_flax_alone_are_told_how_far_their_forms_are_from_the_theory():
    """By srr's own network in torch, whose layers are those of the module."""
    _, params = flax_networks.crate_alpha()
    alone, whole = crosscheck(params), crosscheck(flax_networks.crate_alpha())
    assert alone.layout == "crate_alpha"
    assert [f.match.effect for f in alone.findings if f.match.kind == "overcomplete"] == pytest.approx(
        [f.match.effect for f in whole.findings if f.match.kind == "overcomplete"], rel=0.5
    )


def test_the_command_takes_networks_in_jax(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_jax.py").write_text(
        "import flax_networks, jax_networks\n"
        "def alpha():\n    return flax_networks.crate_alpha()\n"
        "plain = (jax_networks.crate('D transposed'), jax_networks.parameters())\n"
        "crate = flax_networks.Crate()\n"
        "MINE, ITS = jax_networks.LAYOUT, flax_networks.CRATE\n"
        "module = flax_networks.CrateAlpha()\n"
    )
    assert main(["crosscheck", "nets_jax:alpha"]) == 0
    assert "21 operators: 21 known" in capsys.readouterr().out
    assert main(["crosscheck", "nets_jax:plain", "--layout", "nets_jax:MINE", "--heads", "3"]) == 1
    assert "D and its transpose have changed places" in " ".join(capsys.readouterr().out.split())
    assert main(["crosscheck", "nets_jax:crate", "--layout", "nets_jax:ITS"]) == 0
    capsys.readouterr()
    assert main(["crosscheck", "nets_jax:module"]) == 2
    assert "a Flax module or a function with its parameters, or Subjects, got CrateAlpha" in capsys.readouterr().err


def test_the_operators_are_those_of_the_port_to_torch():
    """Weights alike, at other places."""
    from verify.layouts.crate_alpha_jax import to_torch

    _, params = flax_networks.crate_alpha()
    here = [o for o in LAYOUTS["crate_alpha_jax"].operators(params["params"]) if o.weights]
    port = [o for o in LAYOUTS["crate_alpha"].operators(to_torch(params), heads=3) if o.weights]
    assert [o.kind for o in here] == [o.kind for o in port]
    for one, other in zip(here, port, strict=True):
        assert set(one.weights) == set(other.weights)
        for name, a in one.weights.items():
            np.testing.assert_array_equal(np.asarray(a), other.weights[name].numpy())
