"""CRATE for images: ``model/crate.py`` of the code of Yu et al. 2023 (arXiv 2306.01129)."""

from __future__ import annotations

from functools import partial

from srr import layers as srr_layers
from srr.layer import HALVES
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap, passed_on
from verify.layouts.reading import depth_of, shape_of

_LAYER = "transformer.layers."


def _sizes(state: State, heads: int | None = None) -> dict[str, tuple[int, ...]]:
    """Every name with its shape, from the sizes that a few of them tell."""
    _, tokens, d = shape_of(state, "pos_embedding", 3)
    inner, _ = shape_of(state, f"{_LAYER}0.0.fn.qkv.weight", 2)
    classes, _ = shape_of(state, "mlp_head.1.weight", 2)
    (pixels,) = shape_of(state, "to_patch_embedding.1.weight", 1)
    names: dict[str, tuple[int, ...]] = {
        "pos_embedding": (1, tokens, d),
        "cls_token": (1, 1, d),
        "to_patch_embedding.1.weight": (pixels,),
        "to_patch_embedding.1.bias": (pixels,),
        "to_patch_embedding.2.weight": (d, pixels),
        "to_patch_embedding.2.bias": (d,),
        "to_patch_embedding.3.weight": (d,),
        "to_patch_embedding.3.bias": (d,),
        "mlp_head.0.weight": (d,),
        "mlp_head.0.bias": (d,),
        "mlp_head.1.weight": (classes, d),
        "mlp_head.1.bias": (classes,),
    }
    for i in range(depth_of(state, _LAYER)):
        for half in (0, 1):
            names[f"{_LAYER}{i}.{half}.norm.weight"] = names[f"{_LAYER}{i}.{half}.norm.bias"] = (d,)
        names[f"{_LAYER}{i}.0.fn.qkv.weight"] = (inner, d)
        if f"{_LAYER}{i}.0.fn.to_out.0.weight" in state or inner != d:  # the identity, for one head of dimension d
            names[f"{_LAYER}{i}.0.fn.to_out.0.weight"] = (d, inner)
            names[f"{_LAYER}{i}.0.fn.to_out.0.bias"] = (d,)
        names[f"{_LAYER}{i}.1.fn.weight"] = (d, d)
    return names


def _operators(state: State, *, heads: int, step_size: float = 0.1, lambd: float = 0.1) -> tuple[Operator, ...]:
    found = []
    for i in range(depth_of(state, _LAYER)):
        at, ista = f"{_LAYER}{i}.0", f"{_LAYER}{i}.1"
        for half in (at, ista):
            found.append(
                Operator(
                    f"{half}.norm",
                    "layer_norm",
                    (Tap(f"{half}.norm", "input"),),
                    Tap(f"{half}.norm", "output"),
                    {"scale": state[f"{half}.norm.weight"], "shift": state[f"{half}.norm.bias"]},
                    form="norm.torch",
                )
            )
        attention = {"projection": state[f"{at}.fn.qkv.weight"]}
        if f"{at}.fn.to_out.0.weight" in state:
            attention |= {
                "output": state[f"{at}.fn.to_out.0.weight"],
                "bias": state[f"{at}.fn.to_out.0.bias"],
            }
        found.append(
            Operator(
                f"{at}.fn",
                "attention",
                (Tap(f"{at}.fn", "input"),),
                Tap(f"{at}.fn", "output"),
                attention,
                {"heads": heads},
                "crate.mssa",
            )
        )
        found.append(
            Operator(
                f"{at}.skip",
                "skip",
                (Tap(at, "input"), Tap(at, "output"), Tap(f"{at}.norm", "output")),
                Tap(ista, "input"),
                {},
                form="crate.skip",
            )
        )
        found.append(
            Operator(
                f"{ista}.fn",
                "ista",
                (Tap(f"{ista}.fn", "input"),),
                Tap(f"{ista}.fn", "output"),
                {"D": state[f"{ista}.fn.weight"]},
                {"eta": step_size, "lam": lambd},
                "crate.ista",
            )
        )
        for half in (at, ista):
            found += [
                passed_on(Tap(f"{half}.norm", "output"), Tap(f"{half}.fn", "input")),
                passed_on(Tap(f"{half}.fn", "output"), Tap(half, "output")),
            ]
        if i:
            found.append(passed_on(Tap(f"{_LAYER}{i - 1}.1", "output"), Tap(at, "input")))
    return tuple(found)


def _layers(
    state: State, *, heads: int, step_size: float = 0.1, lambd: float = 0.1, norm_floor: float = 1e-5
) -> tuple[LayerParts, ...]:
    found = []
    depth = depth_of(state, _LAYER)
    for i in range(depth):
        at, ista = f"{_LAYER}{i}.0", f"{_LAYER}{i}.1"
        norms = tuple(
            partial(
                srr_layers.layer_norm,
                scale=state[f"{half}.norm.weight"],
                shift=state[f"{half}.norm.bias"],
                floor=norm_floor,
            )
            for half in (at, ista)
        )
        U = bases(state[f"{at}.fn.qkv.weight"], heads)
        output, bias = state.get(f"{at}.fn.to_out.0.weight"), state.get(f"{at}.fn.to_out.0.bias")
        D = state[f"{ista}.fn.weight"]
        layer = srr_layers.official(U, D, output=output, bias=bias, eta=step_size, lam=lambd)
        found.append(
            LayerParts(
                index=i,
                before=Tap(at, "input"),
                between=Tap(ista, "input"),
                after=Tap(ista, "output"),
                order=HALVES,
                U=U,
                output=output,
                bias=bias,
                D=D,
                norms=norms,
                layer=srr_layers.PreNorm(layer, *norms),
            )
        )
    return tuple(found)


def bases(projection, heads: int):
    """U ``(K, d, p)`` of a projection ``(K p, d)``, head by head."""
    if heads < 1 or projection.shape[0] % heads:
        raise ValueError(f"heads must divide the {projection.shape[0]} rows of the projection, got {heads}")
    return projection.unflatten(0, (heads, -1)).mT


def _build(state: State, *, heads: int, step_size: float = 0.1, lambd: float = 0.1):
    from verify.models.crate import Crate, sides

    sizes = _sizes(state)
    _, tokens, d = sizes["pos_embedding"]
    image, patch, channels = sides(tokens - 1, sizes["to_patch_embedding.1.weight"][0])
    model = Crate(
        image_size=image,
        patch_size=patch,
        channels=channels,
        num_classes=sizes["mlp_head.1.bias"][0],
        dim=d,
        depth=depth_of(state, _LAYER),
        heads=heads,
        dim_head=sizes[f"{_LAYER}0.0.fn.qkv.weight"][0] // heads,
        step_size=step_size,
        lambd=lambd,
    ).to(state["pos_embedding"].dtype)
    model.load_state_dict(dict(state))
    return model


CRATE = Layout(
    name="crate",
    source="Yu et al. 2023 (arXiv 2306.01129), model/crate.py of its code",
    shapes=_sizes,
    operators=_operators,
    layers=_layers,
    build=_build,
    trunk="transformer",
)
