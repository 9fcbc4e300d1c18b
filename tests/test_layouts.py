"""The layouts of published networks: names and shapes, what the layers compute, and wrong readings that must fail."""

import inspect
import math
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, feed, network
from torch import nn

import srr
from verify import crosscheck
from verify.capture import capture
from verify.layouts import LAYOUTS, Half, Stack, Tap, below, constants_of, describe, recognise
from verify.layouts.crate_alpha_jax import to_torch
from verify.layouts.names import Names
from verify.layouts.reading import require_shapes
from verify.models.bert import Bert
from verify.models.cbsa import CbsaImages
from verify.models.crate import Crate
from verify.models.crate_alpha import CrateAlpha
from verify.models.crate_gpt import CrateGpt
from verify.models.crate_mae import CrateMae, positions
from verify.models.crate_overcomplete import CrateOvercomplete
from verify.models.depict import DepictDecoder
from verify.models.gpt2 import Gpt2
from verify.models.redunet import ReduNet
from verify.models.redunet_fourier import Lift, ReduNetFourier
from verify.models.tost import Tost
from verify.models.tost_lang import TostLanguage
from verify.models.vit import Vit

U = 2.0**-53

# --- names, shapes, dtypes ---------------------------------------------------------------------------------------

TEXT = {"vocabulary": 32, "block_size": 16, "dim": 32, "depth": 1, "heads": 4}
LISTED = {
    "crate": lambda: Crate(image_size=4, patch_size=1, channels=4, num_classes=10, dim=64, depth=2, heads=4),
    "crate_mae": lambda: CrateMae(image_size=16, patch_size=4, dim=48, depth=1, heads=4),
    "crate_alpha": lambda: CrateAlpha(image_size=8, patch_size=2, num_classes=10, dim=64, depth=1, heads=4),
    "crate_gpt": lambda: CrateGpt(**TEXT),
    "crate_overcomplete": lambda: CrateOvercomplete(**TEXT),
    "tost, one block": lambda: Tost(dim=64, depth=1, heads=4).blocks[0],
    "tost_lang": lambda: TostLanguage(**TEXT),
    "redunet": lambda: ReduNet(dim=5, classes=3, depth=2),
    "depict_decoder": lambda: DepictDecoder(classes=7, dim=12, depth=2, heads=3),
    "redunet_fourier_1d": lambda: ReduNetFourier(size=(4,), channels=3, classes=2, depth=1),
    "redunet_fourier_2d": lambda: ReduNetFourier(size=(4, 4), channels=3, classes=2, depth=1, kernel=(1, 3, 3)),
}


def listings():
    """By network: name, shape and dtype of every tensor, and the three counts below them."""
    text = (Path(__file__).parent / "data" / "state_dicts.txt").read_text()
    for part in text.split("\n## ")[1:]:
        name, *lines = part.strip().splitlines()
        entries = [re.fullmatch(r"\s+(\S+)\s+\((.*)\)\s+(\w+)", line).groups() for line in lines[:-1]]
        counts = tuple(map(int, re.findall(r"\d+", lines[-1])))
        yield name, {key: (tuple(map(int, re.findall(r"\d+", s))), dtype) for key, s, dtype in entries}, counts


LISTINGS = {name: (entries, counts) for name, entries, counts in listings()}


def entries_of(model):
    return {name: (tuple(a.shape), str(a.dtype).removeprefix("torch.")) for name, a in model.state_dict().items()}


def test_every_listed_network_is_here():
    assert set(LISTINGS) == set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_names_shapes_and_dtypes_are_the_published_ones(name):
    entries, counts = LISTINGS[name]
    model = LISTED[name]()
    assert entries_of(model) == entries
    parameters = list(model.parameters())
    trainable = [p for p in parameters if p.requires_grad]
    assert (len(entries), sum(p.numel() for p in parameters), sum(p.numel() for p in trainable)) == counts


@pytest.mark.parametrize("name", [name for name in LISTED if name in LAYOUTS])
def test_the_sheets_are_the_listings(name):
    """The shapes that a layout asks for are those listed, of a state dict made of nothing but the listing."""
    entries, _ = LISTINGS[name]
    dtypes = {"float32": torch.float32, "complex64": torch.complex64}
    state = {key: torch.empty(shape, dtype=dtypes[dtype], device="meta") for key, (shape, dtype) in entries.items()}
    assert dict(LAYOUTS[name].shapes(state)) == {key: shape for key, (shape, _) in entries.items()}
    assert recognise(state) is LAYOUTS[name]


OFFICIAL = {
    "CRATE-T/16": (lambda: image(Crate, 384, 12, 6), 6_090_856, None),
    "CRATE-S/16": (lambda: image(Crate, 576, 12, 12), 13_116_328, None),
    "CRATE-B/16": (lambda: image(Crate, 768, 12, 12), 22_796_008, None),
    "CRATE-L/16": (lambda: image(Crate, 1024, 24, 16), 77_641_192, None),
    "segmentation CRATE-T/8": (lambda: image(Crate, 192, 12, 3, patch=8, classes=21841), 5_743_057, None),
    "segmentation CRATE-S/8": (lambda: image(Crate, 384, 12, 6, patch=8, classes=21841), 14_118_097, None),
    "segmentation CRATE-B/8": (lambda: image(Crate, 768, 12, 12, patch=8, classes=21841), 38_830_801, None),
    "CRATE-MAE-S": (
        lambda: CrateMae(image_size=224, patch_size=16, dim=576, depth=12, heads=12),
        25_405_824,
        25_405_824 - 2 * 197 * 576,
    ),
    "CRATE-MAE-B": (
        lambda: CrateMae(image_size=224, patch_size=16, dim=768, depth=12, heads=12),
        44_638_464,
        44_638_464 - 2 * 197 * 768,
    ),
    "CRATE-alpha-B/16": (lambda: image(CrateAlpha, 768, 12, 12), 72_328_936, None),
    "CRATE-alpha-L/14": (lambda: image(CrateAlpha, 1024, 24, 16, patch=14), 253_650_920, None),
    "ViT-B/16": (lambda: image(Vit, 768, 12, 12), 86_567_656, None),
    "BERT base": (lambda: Bert(vocabulary=30522, places=512, dim=768, depth=12, heads=12), 108_891_648, None),
    "GPT-2": (lambda: Gpt2(vocabulary=50257, places=1024, dim=768, depth=12, heads=12), 124_439_808, None),
}


def image(network, dim, depth, heads, patch=16, classes=1000):
    return network(image_size=224, patch_size=patch, num_classes=classes, dim=dim, depth=depth, heads=heads)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_sizes_have_the_published_numbers_of_parameters(name):
    make, total, trainable = OFFICIAL[name]
    with torch.device("meta"):
        model = make()
    assert sum(p.numel() for p in model.parameters()) == total
    if trainable is not None:
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable


@pytest.mark.parametrize(
    ("make", "leading"),
    [
        (TostLanguage, 10 * 768**2 * 12 + 50304 * 768),
        (CrateGpt, 3 * 768**2 * 12 + 50304 * 768),
    ],
)
def test_language_models_have_about_the_published_numbers(make, leading):
    """Published to three digits, without embeddings of places: the matrices, and vectors that are below 1 % of them."""
    with torch.device("meta"):
        model = make(vocabulary=50304, block_size=1024, dim=768, depth=12, heads=12)
    total = sum(p.numel() for name, p in model.named_parameters() if "wpe" not in name and "denom_bias" not in name)
    assert 0 < total - leading < 0.01 * leading


# --- what the layers compute -------------------------------------------------------------------------------------

LAYERED = tuple(name for name in SMALL if name not in ("vit", "bert", "gpt2", "depict_decoder"))


def close(actual, expected):
    """Within 10⁴ units of roundoff of the largest entry; what wrong readings change is a million times that."""
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max()) <= 1e4 * U * float(expected.abs().max())


def seen(name, model, layers):
    taps = {tap for parts in layers for tap in (parts.before, parts.between, parts.after)}
    return capture(model, lambda: model(feed(name)), taps)


def agreement(parts, tokens):
    """Of a layer of srr with what a network was seen to do: its two halves and the whole."""
    first, second = (getattr(parts.layer, half) for half in parts.order)
    before, between, after = (tokens[tap] for tap in (parts.before, parts.between, parts.after))
    yield close(first(before), between)
    yield close(second(between), after)
    yield close(parts.layer(before), after)


@pytest.mark.parametrize("name", LAYERED)
def test_the_layers_are_srr_s(name):
    model = network(name)
    layers = LAYOUTS[name].layers(model.state_dict(), **constants_of(model))
    tokens = seen(name, model, layers)
    assert [parts.index for parts in layers] == list(range(len(layers)))
    for parts in layers:
        assert all(agreement(parts, tokens))


def transposed(state):
    """One square matrix of the first layer transposed."""
    square = lambda key, a: a.ndim >= 2 and a.shape[0] == a.shape[1] > 1 and "0." in key  # noqa: E731
    return changed(state, square, lambda a: a.transpose(0, 1))


def reversed_heads(state):
    """Rows of the projection in another order, and so other heads, with the same output matrix."""
    keys = ("qkv.weight", "c_attn.weight", "fn.proj.weight", "fn.proj")
    return changed(state, lambda key, a: key.endswith(keys) and a.ndim == 2, lambda a: a.roll(1, 0))


def other_sign(state):
    """An output matrix with the other sign."""
    keys = ("to_out.0.weight", "c_proj.weight", "to_out.weight", "step_size", "E.weight")
    return changed(state, lambda key, a: key.endswith(keys), lambda a: -a)


def changed(state, where, how):
    key = next((key for key, a in state.items() if where(key, a)), None)
    return None if key is None else {**state, key: how(state[key]).contiguous()}


@pytest.mark.parametrize("wrong", [transposed, reversed_heads, other_sign])
@pytest.mark.parametrize("name", LAYERED)
def test_wrong_readings_of_the_weights_are_seen(name, wrong):
    model = network(name)
    constants = constants_of(model)
    state = wrong(dict(model.state_dict()))
    if state is None:  # a network with no such tensor
        assert (name, wrong) in {
            ("depict", transposed),
            *((n, reversed_heads) for n in SMALL if n.startswith("redunet")),
        }
        return
    layers = LAYOUTS[name].layers(state, **constants)
    tokens = seen(name, model, layers)
    assert not all(result for parts in layers for result in agreement(parts, tokens))


@pytest.mark.parametrize(
    ("constant", "value"),
    [("norm_floor", 2e-5), ("step_size", 0.11), ("lambd", 0.2), ("heads", None), ("lmbda", 2.2), ("eta", 0.55)],
)
@pytest.mark.parametrize("name", LAYERED)
def test_wrong_constants_are_seen(name, constant, value):
    model = network(name)
    constants = constants_of(model)
    if constant == "heads":
        value = 5 if name in ("crate", "depict", "cbsa") else 2
    known = LAYOUTS[name]
    if constant not in constants:
        with pytest.raises(ValueError, match=f"constants must be among .*, got '{constant}'"):
            known.layers(model.state_dict(), **constants, **{constant: value})
        return
    constants[constant] = value
    if constant == "heads" and name in ("tost", "tost_lang", "cbsa"):
        for call in (known.layers, known.operators, known.build):
            with pytest.raises(ValueError, match="heads must be 3, as the state dict tells, got"):
                call(model.state_dict(), **constants)
        return
    layers = known.layers(model.state_dict(), **constants)
    tokens = seen(name, model, layers)
    assert not all(result for parts in layers for result in agreement(parts, tokens))


# --- standard transformers, against torch's own ------------------------------------------------------------------


def loaded(layer, operators):
    """The weights of a layer's operators, as torch's layer stores them."""
    by_kind = [operator for operator in operators if operator.kind != "skip"]
    norms = [operator for operator in by_kind if operator.kind == "layer_norm"]
    (attention,) = (operator.weights for operator in by_kind if operator.kind == "qkv_attention")
    (mlp,) = (operator.weights for operator in by_kind if operator.kind == "mlp")
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([attention[key] for key in ("query", "key", "value")]),
            "self_attn.in_proj_bias": torch.cat([attention[f"{key}_bias"] for key in ("query", "key", "value")]),
            "self_attn.out_proj.weight": attention["output"],
            "self_attn.out_proj.bias": attention["bias"],
            "linear1.weight": mlp["fc1"],
            "linear1.bias": mlp["fc1_bias"],
            "linear2.weight": mlp["fc2"],
            "linear2.bias": mlp["fc2_bias"],
            "norm1.weight": norms[0].weights["scale"],
            "norm1.bias": norms[0].weights["shift"],
            "norm2.weight": norms[1].weights["scale"],
            "norm2.bias": norms[1].weights["shift"],
        }
    )
    return layer


STANDARD = ("vit", "bert", "gpt2")


@pytest.mark.parametrize("name", STANDARD)
def test_standard_transformers_are_torch_s(name):
    """By another implementation of the same layers; its mask is that of the causal one."""
    rng = np.random.default_rng(5)
    Z = torch.tensor(rng.standard_normal((2, 7, 12)))
    model = network(name)
    constants = constants_of(model)
    operators = LAYOUTS[name].operators(model.state_dict(), **constants)
    block = {
        "vit": lambda: model.blocks[0],
        "bert": lambda: model.encoder.layer[0],
        "gpt2": lambda: model.h[0],
    }[name]()
    prefix = {"vit": "blocks.0", "bert": "encoder.layer.0", "gpt2": "h.0"}[name]
    if name == "vit":
        nn.init.ones_(block.ls1.gamma)
        nn.init.ones_(block.ls2.gamma)
    activation = (lambda x: nn.functional.gelu(x, approximate="tanh")) if name == "gpt2" else "gelu"
    theirs = nn.TransformerEncoderLayer(
        12,
        3,
        48,
        dropout=0.0,
        activation=activation,
        norm_first=name != "bert",
        layer_norm_eps=constants["norm_floor"],
        batch_first=True,
    )
    theirs = loaded(theirs.double().eval(), [o for o in operators if o.name.startswith(prefix)])
    mask = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64) if name == "gpt2" else None
    with torch.no_grad():
        assert close(block(Z), theirs(Z, src_mask=mask))
        theirs.self_attn.in_proj_weight[:12] = theirs.self_attn.in_proj_weight[12:24].clone()  # the key for the query
        assert not close(block(Z), theirs(Z, src_mask=mask))


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("which", ["value", "key", "query"])
def test_the_subspaces_of_standard_transformers_are_the_named_projections(name, which):
    model = network(name)
    state = model.state_dict()
    constants = constants_of(model)
    parts = LAYOUTS[name].layers(state, **constants, subspaces=which)[1]
    place = ("query", "key", "value").index(which)
    packed = {
        "vit": lambda: state["blocks.1.attn.qkv.weight"][12 * place : 12 * place + 12],
        "bert": lambda: state[f"encoder.layer.1.attention.self.{which}.weight"],
        "gpt2": lambda: state["h.1.attn.c_attn.weight"][:, 12 * place : 12 * place + 12].T,
    }[name]()
    assert parts.U.shape == (3, 12, 4)
    for k in range(3):
        assert torch.equal(parts.U[k], packed[4 * k : 4 * k + 4].T)
    assert parts.layer is None
    with pytest.raises(ValueError, match="subspaces must be one of value, key, query, got 'output'"):
        LAYOUTS[name].layers(state, **constants, subspaces="output")


# --- operators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_operators_are_where_they_say(name):
    """Their taps are there; skips add up, and LayerNorms are LayerNorms."""
    model = network(name)
    operators = LAYOUTS[name].operators(model.state_dict(), **constants_of(model))
    assert len({operator.name for operator in operators}) == len(operators)
    tokens = capture(model, lambda: model(feed(name)), {t for o in operators for t in (*o.reads, o.gives)})
    kinds = set()
    for operator in operators:
        kinds.add(operator.kind)
        given, reads = tokens[operator.gives], [tokens[tap] for tap in operator.reads]
        if operator.kind == "skip":
            x, update, normed = reads
            update = update * operator.weights.get("scale", 1)
            assert x.shape == update.shape
            assert normed.shape == x.shape or "cnet" in operator.name  # whose queries are not what is normed
            sign = -1 if "decoder" in operator.name else 1
            assert close(x + sign * update, given)
            assert not close(x - sign * update, given)
        if operator.kind == "layer_norm":
            floor = operator.constants["floor"]
            assert close(srr.layers.layer_norm(*reads, **operator.weights, floor=floor), given)
            assert not close(srr.layers.layer_norm(*reads, **operator.weights, floor=2 * floor + 1e-6), given)
    assert "redunet" in "".join(kinds) or {"skip", "layer_norm"} < kinds


@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_built_from_its_state_dict(name):
    model = network(name)
    built = LAYOUTS[name].build(model.state_dict(), **constants_of(model)).eval()
    with torch.no_grad():
        assert torch.equal(built(feed(name)), model(feed(name)))
    assert constants_of(built) == constants_of(model)


def test_a_vision_transformer_may_be_without_head_and_scales():
    make = lambda: Vit(image_size=8, patch_size=2, num_classes=0, dim=12, depth=2, heads=3, qkv_bias=False)  # noqa: E731
    model = network("vit", make=make)
    state = model.state_dict()
    assert recognise(state).name == "vit"
    with torch.no_grad():
        assert torch.equal(LAYOUTS["vit"].build(state, heads=3)(feed("vit")), model(feed("vit")))
    del state["blocks.1.norm2.bias"]
    for call in (LAYOUTS["vit"].operators, LAYOUTS["vit"].layers, LAYOUTS["vit"].build):
        with pytest.raises(ValueError, match=r"must have 'blocks.1.norm2.bias' of shape"):
            call(state, heads=3)


def test_what_surrounds_the_blocks_of_tost_is_let_be():
    """The stem, the class attention and the head are there, and not built."""
    model = network("tost")
    beside = {"patch_embed.proj.0.0.weight": torch.ones(2, 3, 3, 3), "cls_token": torch.ones(1, 1, 12)}
    state = {**model.state_dict(), **beside, "head.bias": torch.ones(4)}
    assert recognise(state).name == "tost"
    with torch.no_grad():
        assert torch.equal(LAYOUTS["tost"].build(state)(feed("tost")), model(feed("tost")))


@pytest.mark.parametrize("widths", [(3, 4, 6, 12), (3, 2, 4, 6, 12)])
def test_cbsa_is_read_and_built_whole(widths):
    """With its stem, whose batch norms are at their means of training, and its head."""
    whole = {"widths": widths, "places": 82, "num_classes": 7, "dim": 12, "depth": 2, "heads": 3, "dim_head": 5}
    model = network("cbsa", make=lambda: CbsaImages(**whole))
    for name, a in model.named_buffers():
        if a.is_floating_point():
            model.get_submodule(name.rpartition(".")[0])._buffers[name.rpartition(".")[2]] = (
                1 + torch.rand_like(a).double()
            )
    state, side = model.state_dict(), 9 * 2 ** (len(widths) - 1)
    last = 2 * len(widths) - 4
    assert state[f"to_patch_embedding.proj.{last}.0.weight"].shape == (12, widths[-2], 3, 3)
    assert {f"to_patch_embedding.proj.{last}.1.{name}" for name in ("running_mean", "num_batches_tracked")} < set(state)
    assert recognise(state) is LAYOUTS["cbsa"]
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        built = LAYOUTS["cbsa"].build(state).eval()
        assert torch.equal(built(images), model(images))
        layers = LAYOUTS["cbsa"].layers(state)
        tokens = capture(model, lambda: model(images), {t for p in layers for t in (p.before, p.between, p.after)})
        for parts in layers:
            assert all(agreement(parts, tokens))
    check = crosscheck(model)
    assert check.passes
    assert check.not_judged == ("pos_embedding", "cls_token", "to_patch_embedding", "mlp_head")
    for name in ("cls_token", "mlp_head.1.bias"):
        with pytest.raises(ValueError, match=f"must have '{name}' beside the rest of the network"):
            recognise({key: a for key, a in state.items() if key != name})


def test_a_built_network_has_the_floor_it_is_given():
    model = network("crate")
    built = LAYOUTS["crate"].build(model.state_dict(), heads=3, norm_floor=1e-3)
    assert constants_of(built)["norm_floor"] == 1e-3
    assert built.mlp_head[0].eps == 1e-5


def test_one_head_of_full_dimension_has_the_identity_for_its_output():
    """Where the published code leaves the output matrix out: not the theory's [U_1, …, U_K]."""
    make = lambda: Crate(image_size=8, patch_size=2, num_classes=5, dim=12, depth=1, heads=1)  # noqa: E731
    model = network("crate", make=make)
    assert not any("to_out" in key for key in model.state_dict())
    layers = LAYOUTS["crate"].layers(model.state_dict(), heads=1)
    tokens = seen("crate", model, layers)
    assert all(agreement(layers[0], tokens))
    assert torch.equal(layers[0].output, torch.eye(12, dtype=torch.float64))


def test_the_cutting_of_images_and_the_head_are_the_published_ones():
    """Channels of a pixel side by side, class token first: by a loop over the patches."""
    model = network("crate")
    images = feed("crate")
    s = model.state_dict()

    def norm(x, key):
        return srr.layers.layer_norm(x, s[f"{key}.weight"], s[f"{key}.bias"])

    rows = torch.stack(
        [
            torch.stack([images[0, c, 2 * i + a, 2 * j + b] for a in range(2) for b in range(2) for c in range(3)])
            for i in range(4)
            for j in range(4)
        ]
    )
    z = norm(rows, "to_patch_embedding.1") @ s["to_patch_embedding.2.weight"].T + s["to_patch_embedding.2.bias"]
    z = torch.cat([s["cls_token"][0], norm(z, "to_patch_embedding.3")]) + s["pos_embedding"][0]
    for parts in LAYOUTS["crate"].layers(s, heads=3):
        z = parts.layer(z)
    logits = norm(z[:1], "mlp_head.0") @ s["mlp_head.1.weight"].T + s["mlp_head.1.bias"]
    with torch.no_grad():
        assert close(logits, model(images)[:1])


def test_the_autoencoder_hides_patches_before_its_encoder():
    model = network("crate_mae")
    images = feed("crate_mae")
    hidden = torch.zeros(3, 16, dtype=torch.bool)
    hidden[:, ::3] = True
    with torch.no_grad():
        other = images.clone()
        other[:, :, :2, :2] += 1  # the first patch, which is hidden
        assert torch.equal(model(images, hidden), model(other, hidden))
        assert not torch.equal(model(images), model(other))
        first = capture(model, lambda: model(images, hidden), [Tap("blocks.0", "input")])[Tap("blocks.0", "input")]
        s = model.state_dict()
        assert torch.allclose(first[:, 1], s["mask_token"][0] + s["decoder_pos_embed"][0, 1])
        error = model.patches(images) - model(images, hidden)
        assert torch.isclose(model.loss(images, hidden), error[:, ::3].square().mean())


def test_positions_are_sines_of_column_and_row():
    table = positions(3, 8)[0]
    assert table.shape == (10, 8)
    assert not table[0].any()
    row, column = 2, 1
    rates = [1.0, 10000.0**-0.5]
    wanted = [f(place * rate) for place in (column, row) for f in (math.sin, math.cos) for rate in rates]
    np.testing.assert_allclose(table[1 + 3 * row + column].numpy(), wanted, rtol=1e-6)


def test_lifting_commutes_with_cyclic_shifts():
    torch.manual_seed(0)
    lift = Lift(1, 3, 3, 3)
    images = torch.randn(2, 1, 4, 5)
    shifted = lift(images.roll((1, 2), (2, 3)))
    torch.testing.assert_close(shifted, lift(images).roll((1, 2), (2, 3)))
    expected = sum(
        images.roll((-a, -b), (2, 3)) * lift.kernel[:, 0, a, b, None, None] for a in range(3) for b in range(3)
    )
    torch.testing.assert_close(lift(images), expected.relu())


@pytest.mark.parametrize("name", ["crate_gpt", "crate_overcomplete", "tost_lang", "gpt2"])
def test_language_models_are_causal(name):
    model = network(name)
    tokens = feed(name)
    later = tokens.clone()
    later[:, 4:] = (later[:, 4:] + 1) % 11
    with torch.no_grad():
        assert torch.equal(model(tokens)[:, :4], model(later)[:, :4])
        assert not torch.equal(model(tokens)[:, 4], model(later)[:, 4])


# --- ReduNet, from the layers that srr constructs ----------------------------------------------------------------


def test_constructed_layers_load_into_the_networks():
    """A ReduNet that srr builds from labelled signals, through the published names, is itself again."""
    rng = np.random.default_rng(2)
    Pi = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    flat = srr.redunet.on_sphere(rng.standard_normal((6, 4)))
    built = srr.layers.redunet(flat, Pi, rule="official", eps=0.7, sharpness=3.0)
    state = {"0.gam": built.gamma, "0.E.weight": built.E} | {f"0.Cs.{k}.weight": built.C[k] for k in range(2)}
    state = {key: torch.tensor(a) for key, a in state.items()}
    with torch.no_grad():
        model = LAYOUTS["redunet"].build(state, lmbda=3.0)
        assert close(model(torch.tensor(flat)), torch.tensor(built(flat)))

    signals = rng.standard_normal((6, 3, 5))
    signals /= np.linalg.norm(signals.reshape(6, -1), axis=1)[:, None, None]
    built = srr.layers.shift_invariant_redunet(signals, Pi, rule="official", scaling="official", eps=0.7, sharpness=3.0)

    def stored(half):  # all frequencies (C, C, T), from the first half of them
        full = np.concatenate([half, half[1:][::-1].conj()])
        return torch.tensor(np.moveaxis(full, 0, -1))

    state = {"0.gam": torch.tensor(built.gamma), "0.E.weight": stored(built.E)}
    state |= {f"0.Cs.{k}.weight": stored(built.C[k]) for k in range(2)}
    with torch.no_grad():
        model = LAYOUTS["redunet_fourier_1d"].build(state, lmbda=3.0)
        assert close(model(torch.tensor(signals)), torch.tensor(built(signals)))
        state["0.E.weight"] = state["0.E.weight"].conj().resolve_conj()
        assert not close(
            LAYOUTS["redunet_fourier_1d"].build(state, lmbda=3.0)(torch.tensor(signals)), torch.tensor(built(signals))
        )


def test_the_bases_of_redunet_are_the_directions_of_its_classes():
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    Z = np.concatenate([rng.standard_normal((20, 2)) @ Q[:, :2].T, rng.standard_normal((20, 2)) @ Q[:, 2:4].T])
    Pi = np.repeat(np.eye(2), 20, axis=0)
    E, C, gamma = srr.redunet.operators(Z, Pi, eps=0.3)
    state = {"0.gam": gamma, "0.E.weight": E, "0.Cs.0.weight": C[0], "0.Cs.1.weight": C[1]}
    (parts,) = LAYOUTS["redunet"].layers({key: torch.tensor(a) for key, a in state.items()}, rank=2)
    for k in range(2):
        kept = parts.U[k].numpy().T @ Q[:, 2 * k : 2 * k + 2]
        np.testing.assert_allclose(np.linalg.svd(kept)[1], 1, rtol=1e-9)
    with pytest.raises(ValueError, match="rank must be from 1 to 6, got 7"):
        LAYOUTS["redunet"].layers({key: torch.tensor(a) for key, a in state.items()}, rank=7)


# --- CRATE-α in JAX ----------------------------------------------------------------------------------------------


def jax_tree(seed=0, d=6, heads=3, p=2, m=10, depth=2, patch=2, side=4, classes=5):
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal
    block = lambda: {  # noqa: E731
        "LayerNorm_0": {"scale": 1 + 0.1 * draw(d), "bias": draw(d)},
        "MultiHeadDotProductSubspaceAttention_0": {
            "proj": {"kernel": draw((d, heads, p))},
            "out": {"kernel": draw((heads, p, d))},
        },
        "LayerNorm_1": {"scale": 1 + 0.1 * draw(d), "bias": draw(d)},
        "OvercompleteISTABlock_0": {"D": draw((d, m)), "D1": draw((d, m))},
    }
    return {
        "cls": draw((1, 1, d)),
        "pos_embedding": draw((1, side**2 + 1, d)),
        "embedding": {"kernel": draw((patch, patch, 3, d)), "bias": draw(d)},
        "Transformer": {f"encoderblock_{i}": block() for i in range(depth)},
        "encoder_norm": {"scale": 1 + 0.1 * draw(d), "bias": draw(d)},
        "head": {"kernel": draw((d, classes)), "bias": draw(classes)},
    }


def flattened(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def jax_logits(tree, images, eta=0.1, lam=0.1):
    """The network as the parameters in JAX are used there, by einsum over heads: an independent reading."""

    def norm(x, part):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * part["scale"] + part["bias"]

    b, _, side, _ = images.shape
    kernel = tree["embedding"]["kernel"]
    s = kernel.shape[0]
    cut = images.reshape(b, 3, side // s, s, side // s, s)
    x = np.einsum("bciyjx,yxcd->bijd", cut, kernel).reshape(b, -1, kernel.shape[-1]) + tree["embedding"]["bias"]
    x = np.concatenate([np.broadcast_to(tree["cls"], (b, 1, x.shape[-1])), x], axis=1) + tree["pos_embedding"]
    for block in tree["Transformer"].values():
        attention = block["MultiHeadDotProductSubspaceAttention_0"]
        w = np.einsum("bnd,dhp->bhnp", norm(x, block["LayerNorm_0"]), attention["proj"]["kernel"])
        gram = np.einsum("bhnp,bhmp->bhnm", w, w) * w.shape[-1] ** -0.5
        share = np.exp(gram - gram.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        x = x + np.einsum("bhnm,bhmp,hpd->bnd", share, w, attention["out"]["kernel"])
        y, ista = norm(x, block["LayerNorm_1"]), block["OvercompleteISTABlock_0"]
        z1 = np.maximum(eta * np.einsum("dm,bnd->bnm", ista["D"], y) - eta * lam, 0)
        gradient = np.einsum("dm,bnd->bnm", ista["D"], np.einsum("dm,bnm->bnd", ista["D"], z1) - y)
        z2 = np.maximum(z1 - eta * gradient - eta * lam, 0)
        x = x + np.einsum("dm,bnm->bnd", ista["D1"], z2)
    return norm(x[:, 0], tree["encoder_norm"]) @ tree["head"]["kernel"] + tree["head"]["bias"]


@pytest.mark.parametrize("form", ["nested", "flat", "params", "jax"])
def test_parameters_in_jax_are_read_as_the_port_to_torch(form):
    tree = jax_tree()
    given = {"nested": tree, "flat": dict(flattened(tree)), "params": {"params": tree}, "jax": tree}[form]
    if form == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        given = jax.tree.map(jax.numpy.asarray, tree)
    known = LAYOUTS["crate_alpha_jax"]
    images = np.random.default_rng(1).standard_normal((2, 3, 8, 8))
    with torch.no_grad():
        logits = known.build(given)(torch.tensor(images))
        assert close(logits, torch.tensor(jax_logits(tree, images)))
        port = LAYOUTS["crate_alpha"].build(to_torch(given), heads=3)  # whose last LayerNorm has another floor
        assert 1e-9 < float((port(torch.tensor(images)) - logits).abs().max()) < 1e-3
    assert [parts.U.shape for parts in known.layers(given)] == [(3, 6, 2)] * 2
    assert recognise(given).name == "crate_alpha_jax"
    assert dict(known.shapes(given)) == {key: a.shape for key, a in flattened(tree)}


def test_wrong_readings_of_parameters_in_jax_are_seen():
    images = np.random.default_rng(1).standard_normal((2, 3, 8, 8))
    tree = jax_tree()
    right = torch.tensor(jax_logits(tree, images))
    for path, wrong in (
        (("Transformer", "encoderblock_0", "MultiHeadDotProductSubspaceAttention_0", "proj"), lambda a: a[:, ::-1]),
        (("Transformer", "encoderblock_1", "MultiHeadDotProductSubspaceAttention_0", "out"), lambda a: a[::-1]),
        (("embedding",), lambda a: a.swapaxes(0, 1)),
    ):
        other = jax_tree()
        place = other
        for key in path:
            place = place[key]
        place["kernel"] = wrong(place["kernel"])
        with torch.no_grad():
            assert not close(LAYOUTS["crate_alpha_jax"].build(other)(torch.tensor(images)), right)


# --- recognition -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("prefix", ["", "backbone.", "model.net."])
def test_every_network_is_recognised(name, prefix):
    model = network(name)
    state = {prefix + key: a for key, a in model.state_dict().items()}
    if prefix:
        state["other.weight"] = torch.zeros(2)
    found = recognise(state)
    assert found.name == name
    require_shapes(state, found.shapes(state))


def test_below_a_prefix_a_layout_watches_and_builds_the_part():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = network("bert")
            self.cls = nn.Linear(12, 3).double()

        def forward(self, tokens):
            return self.cls(self.bert(tokens))

    model = Wrapped()
    found = recognise(model.state_dict())
    assert (found.name, found.trunk) == ("bert", "bert.encoder")
    constants = constants_of(model)
    assert constants == {"heads": 3, "norm_floor": 1e-12}
    operators = found.operators(model.state_dict(), **constants)
    tokens = capture(model, lambda: model(feed("bert")), {t for o in operators for t in (*o.reads, o.gives)})
    layers = found.layers(model.state_dict(), **constants)
    assert {tap for parts in layers for tap in (parts.before, parts.between, parts.after)} <= set(tokens)
    with torch.no_grad():
        built = found.build(model.state_dict(), **constants)
        assert torch.equal(built(feed("bert")), model.bert(feed("bert")))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("crate", lambda s: s.pop("cls_token"), "nearest is crate, but the state dict must have 'cls_token', got no"),
        (
            "crate",
            lambda s: s.update({"transformer.layers.1.1.fn.weight": torch.zeros(12, 13)}),
            r"nearest is crate, but 'transformer.layers.1.1.fn.weight' must have shape \(12, 12\), got \(12, 13\)",
        ),
        (
            "crate_gpt",
            lambda s: s.update({"transformer.h.0.extra": torch.zeros(2)}),
            r"nearest is crate_gpt, but the state dict must have no 'transformer.h.0.extra', got one of shape \(2,\)",
        ),
        (
            "vit",
            lambda s: s.update({"blocks.3.norm1.bias": torch.zeros(12)}),
            r"nearest is vit, but the layers blocks.0, … must be numbered without gaps, got \[0, 1, 3\]",
        ),
        ("tost_lang", lambda s: s.pop("transformer.h.1.attn.temp"), "nearest is tost_lang, but .*h.1.attn.temp"),
        (
            "redunet",
            lambda s: s.pop("1.Cs.2.weight"),
            "nearest is redunet, but the layers 1.Cs must be as many as 1.gam is long, 3, got 2",
        ),
        (
            "crate",
            lambda s: [s.pop(key) for key in list(s) if ".to_out" in key],
            "must have 'transformer.layers.0.0.fn.to_out.0.weight' unless one head has dimension d",
        ),
    ],
)
def test_what_does_not_fit_is_named(name, change, message):
    state = dict(network(name).state_dict())
    change(state)
    with pytest.raises(ValueError, match=f"must have a known layout; .*{message}"):
        recognise(state)


def test_nothing_is_recognised_in_nothing():
    for state in ({}, {"weight": torch.zeros(2, 2)}):
        with pytest.raises(ValueError, match="must have a known layout; nearest is"):
            recognise(state)


def test_two_that_fit_are_both_named():
    crate = LAYOUTS["crate"]
    with pytest.raises(ValueError, match="layout must be given, the state dict fits crate, crate"):
        recognise(network("crate").state_dict(), [crate, below(crate, "")])


def test_two_parts_that_fit_are_both_named():
    """A decoder of DEPICT beside another, whose layers have the same names."""
    state = {f"{part}.{key}": a for part in ("snet", "cnet") for key, a in network("depict").state_dict().items()}
    with pytest.raises(
        ValueError, match=r"layout must be given, the state dict fits depict below 'cnet.', depict below"
    ):
        recognise(state)
    layers = below(LAYOUTS["depict"], "snet.").layers(state, heads=3)
    assert layers[0].before == Tap("snet.layers.0", "input")


def test_the_whole_is_recognised_before_its_parts():
    """Whose two stacks have the names of another layout each."""
    state = {f"decoder.{key}": a for key, a in network("depict_decoder").state_dict().items()}
    state["encoder.weight"] = torch.zeros(2)
    assert (recognise(state).name, recognise(state).trunk) == ("depict_decoder", "decoder")
    del state["decoder.cls_emb"]
    with pytest.raises(ValueError, match=r"fits depict below 'decoder.cnet.', depict below 'decoder.snet.'"):
        recognise(state)


def test_queries_that_attend_to_others_are_no_layers_of_tokens():
    model = network("depict_decoder")
    with pytest.raises(ValueError, match=r"got in cnet queries of others; give a layout of .* 'snet.'\)"):
        LAYOUTS["depict_decoder"].layers(model.state_dict(), heads=3)
    (parts,) = below(LAYOUTS["depict"], "snet.").layers(model.state_dict(), heads=3)
    assert all(agreement(parts, seen("depict_decoder", model, [parts])))


def test_the_decoder_of_depict_is_written_out():
    """Its masks of an image of two rows of three patches, by loops over heads and by einsum."""
    model = network("depict_decoder")
    s = model.state_dict()
    Z = torch.tensor(np.random.default_rng(3).standard_normal((2, 6, 12)))

    def norm(x, key):
        return srr.layers.layer_norm(x, s[f"{key}.weight"], s[f"{key}.bias"])

    def attended(queries, z, key):
        found = torch.zeros_like(queries)
        for U in s[f"{key}.proj"].unflatten(0, (3, -1)):
            X, Y = (torch.einsum("bnd,pd->bnp", a, U) for a in (queries, z))
            share = torch.exp(torch.einsum("bmp,bnp->bmn", X, Y) / U.shape[0] ** 0.5)
            share = share / share.sum(-1, keepdim=True)
            found += torch.einsum("bmn,bnp,pd->bmd", share, Y, U)
        return s[f"{key}.step_size"] * found

    z, queries = Z, s["cls_emb"].repeat(2, 1, 1)
    z = z + attended(norm(z, "snet.layers.0.norm"), norm(z, "snet.layers.0.norm"), "snet.layers.0.fn")
    z = norm(z, "snorm")
    for i in range(2):
        queries = queries + attended(queries, norm(z, f"cnet.layers.{i}.norm"), f"cnet.layers.{i}.fn")
    queries = norm(queries, "cnorm")
    cosines = torch.nn.functional.cosine_similarity(z[:, :, None], queries[:, None], dim=-1)
    masks = norm(cosines, "mask_norm").reshape(2, 2, 3, 4).permute(0, 3, 1, 2)
    with torch.no_grad():
        assert close(model(Z, (2 * 16, 3 * 16)), masks)
        model.cnet.layers[1].norm.bias += 0.01
        assert not close(model(Z, (2 * 16, 3 * 16)), masks)


def test_hostile_names_take_no_time():
    state = network("redunet").state_dict()
    state["0.Cs.999999999999.weight"] = state.pop("0.Cs.2.weight")
    with pytest.raises(ValueError, match=r"nearest is redunet, but the state dict must have '0.Cs.2.weight'"):
        recognise(state)
    state = network("crate").state_dict()
    state["transformer.layers.999999999999.1.fn.weight"] = state.pop("transformer.layers.1.1.fn.weight")
    with pytest.raises(ValueError, match="must be numbered without gaps, got"):
        recognise(state)


def test_what_holds_no_arrays_is_refused():
    with pytest.raises(TypeError, match="'a/b' must be an array, got int"):
        recognise({"a": {"b": 3}})
    with pytest.raises(TypeError, match="names of parameters must be strings, got 3"):
        recognise({3: torch.ones(2)})


def test_constants_that_differ_between_layers_are_refused():
    model = network("crate")
    model.transformer.layers[1][1].fn.lambd = 0.3
    with pytest.raises(
        ValueError, match=r"lambd must be the same in all layers, got 0.1 in .*0.1.fn and 0.3 in .*1.1.fn"
    ):
        constants_of(model)


def test_numbers_that_are_missing_or_unknown_are_named():
    state = network("crate").state_dict()
    for call in (LAYOUTS["crate"].layers, LAYOUTS["crate"].operators, LAYOUTS["crate"].build):
        with pytest.raises(ValueError, match="heads must be given"):
            call(state)
        with pytest.raises(
            ValueError, match="constants must be among heads, step_size, lambd, norm_floor, got 'steps'"
        ):
            call(state, heads=3, steps=2)
    for heads in (0, 4):
        with pytest.raises(ValueError, match=f"heads must divide the 15 rows of the projection, got {heads}"):
            LAYOUTS["crate"].build(state, heads=heads)
        with pytest.raises(ValueError, match=f"heads must divide the 15 rows of the projection, got {heads}"):
            LAYOUTS["crate"].layers(state, heads=heads)


# --- one's own ---------------------------------------------------------------------------------------------------


def test_the_example_of_a_layout_of_one_s_own_works():
    """The one in the docstring, on the network that it describes."""
    example = re.findall(r"^    (?:>>>|\.\.\.) ?(.*)$", inspect.getdoc(describe).replace("\n", "\n    "), flags=re.M)
    names = {"srr": srr, "describe": describe, "Stack": Stack, "Half": Half, "Tap": Tap}
    exec(textwrap.dedent("\n".join(example)), names)
    mine = names["MINE"]

    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.U, self.out = (nn.Parameter(torch.randn(*shape)) for shape in ((10, 6), (6, 10)))

        def forward(self, z):
            y = (z @ self.U.T).unflatten(-1, (2, 5)).transpose(-3, -2)
            return (torch.softmax(y @ y.mT / 5**0.5, -1) @ y).transpose(-3, -2).flatten(-2) @ self.out.T

    class Code(nn.Module):
        def __init__(self):
            super().__init__()
            self.D = nn.Parameter(torch.randn(6, 6))

        def forward(self, z):
            return torch.relu(z + 0.1 * (z - z @ self.D.T) @ self.D - 0.01)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.attend, self.code = nn.LayerNorm(6), Attend(), Code()

        def forward(self, z):
            return self.code(z + self.attend(self.norm(z)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())
            self.head = nn.Linear(6, 3)

        def forward(self, z):
            return self.head(self.blocks(z))

    torch.manual_seed(0)
    model = Net().double()
    assert recognise(model.state_dict(), [mine]) is mine
    layers = mine.layers(model.state_dict(), heads=2)
    Z = torch.randn(3, 4, 6, dtype=torch.float64)
    tokens = capture(model, lambda: model(Z), {t for p in layers for t in (p.before, p.between, p.after)})
    for parts in layers:
        assert all(agreement(parts, tokens))
    with pytest.raises(ValueError, match="the layout mine has no network of srr's own"):
        mine.build(model.state_dict(), heads=2)
    check = crosscheck(model, layout=mine, constants={"heads": 2})
    assert check.passes
    assert check.not_judged == ("head",)
    assert {finding.match.kind for finding in check.findings} == {
        "attention",
        "ista",
        "layer_norm",
        "skip",
        "passed_on",
    }
    model.blocks[1].norm.eps = 1e-3
    with pytest.raises(ValueError, match=r"norm_floor must be the same in all layers, got 1e-05 in .* and 0.001 in"):
        crosscheck(model, layout=mine, constants={"heads": 2})
    model.blocks[0].norm.eps = 1e-3
    floors = [
        f.match for f in crosscheck(model, layout=mine, constants={"heads": 2}).findings if "norm" in f.match.kind
    ]
    assert {found.departures for found in floors} == {
        ("the floor that it is given is added to the variance (not: 1e-5 is added to the variance)",)
    }


def test_sheets_are_read_as_they_say():
    names = Names("a{i}.w 2m d\n a{i}.b? m\n head.* \n top 3 d")
    state = {
        key: np.zeros(shape) for key, shape in (("a0.w", (4, 5)), ("a1.w", (4, 5)), ("a1.b", (2,)), ("top", (3, 5)))
    }
    assert names.shapes({**state, "head.x": np.zeros(7)}) == {
        "a0.w": (4, 5),
        "a1.w": (4, 5),
        "a1.b": (2,),
        "head.x": (7,),
        "top": (3, 5),
    }
    with pytest.raises(ValueError, match="'top' must have 2 axes, got shape"):
        names.shapes({**state, "top": np.zeros(5)})
