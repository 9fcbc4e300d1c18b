"""Which layout a state dict has, and the numbers of a network that it does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap
from verify.layouts.reading import flat, require_shapes

CONSTANTS = {
    "heads": ("heads", "num_heads", "n_head", "num_attention_heads"),
    "step_size": ("step_size", "eta"),
    "eta": ("eta",),
    "lambd": ("lambd", "lmbda"),
    "lmbda": ("lmbda",),
    "norm_floor": ("eps", "epsilon"),
}
"""Names of the attributes of modules that hold the constants of layouts."""

KINDS = {
    "heads": ("attention", "cross_attention", "tssa", "cbsa", "qkv_attention"),
    "step_size": ("ista", "overcomplete"),
    "eta": ("redunet", "redunet_fourier"),
    "lambd": ("ista", "overcomplete"),
    "lmbda": ("redunet", "redunet_fourier"),
    "norm_floor": ("layer_norm",),
}
"""The operators whose modules hold them."""


def recognise(state: State, layouts: Iterable[Layout] | None = None) -> Layout:
    """The one layout whose names and shapes are those of a state dict.

    Parameters
    ----------
    state : mapping
        A state dict, or parameters of a network in JAX, nested or flat.
    layouts : iterable of Layout, optional
        To choose from; all of srr's by default.

    Returns
    -------
    Layout
        Where all names are behind one prefix, such as ``bert.``, the layout of what is behind it (`below`); what fits
        a part of that alone counts no more.

    Raises
    ------
    TypeError
        A name is no string, or it is that of no array.
    ValueError
        None fits, and the nearest fails at the name that the message tells; or several fit.
    """
    known = tuple(_all() if layouts is None else layouts)
    state = flat(state)
    found = [("", layout) for layout in known if _fits(layout, state)]
    if not found:
        found = [(p, below(layout, p)) for p in _prefixes(state) for layout in known if _fits(below(layout, p), state)]
        found = [(p, layout) for p, layout in found if not any(p != q and p.startswith(q) for q, _ in found)]
    if len(found) > 1:
        names = ", ".join(f"{layout.name} below {prefix!r}" if prefix else layout.name for prefix, layout in found)
        raise ValueError(f"layout must be given, the state dict fits {names}")
    if found:
        return found[0][1]
    nearest = max(known, key=lambda layout: _nearness(layout, state))
    try:
        require_shapes(state, nearest.shapes(state))
    except ValueError as error:
        raise ValueError(f"the state dict must have a known layout; nearest is {nearest.name}, but {error}") from error
    raise AssertionError("the nearest layout fits after all")


def chosen(layout: Layout | str | None, state: State) -> Layout:
    """A layout that may be given by its name, or is the one that a state dict has.

    Raises
    ------
    ValueError
        An unknown name; else as `recognise`.
    """
    if layout is None:
        return recognise(state)
    known = {each.name: each for each in _all()}
    if isinstance(layout, str) and layout not in known:
        raise ValueError(f"layout must be one of {', '.join(known)}, got {layout!r}")
    return known[layout] if isinstance(layout, str) else layout


def below(layout: Layout, prefix: str) -> Layout:
    """A layout of the part of a network behind a prefix, ``"bert."``; names before or beside it are let be."""

    def within(state: State) -> dict[str, Any]:
        return {name[len(prefix) :]: a for name, a in state.items() if name.startswith(prefix)}

    def placed(tap: Tap) -> Tap:
        return replace(tap, module=(prefix + tap.module).rstrip("./"))

    def shapes(state: State, heads: int | None = None) -> dict[str, tuple[int, ...]]:
        beside = {name: tuple(a.shape) for name, a in state.items() if not name.startswith(prefix)}
        return beside | {prefix + name: shape for name, shape in layout.shapes(within(state), heads).items()}

    def operators(state: State, **constants: Any) -> tuple[Operator, ...]:
        return tuple(
            replace(
                operator,
                name=prefix + operator.name,
                reads=tuple(map(placed, operator.reads)),
                gives=placed(operator.gives),
            )
            for operator in layout.operators(within(state), **constants)
        )

    def layers(state: State, **constants: Any) -> tuple[LayerParts, ...]:
        return tuple(
            replace(parts, before=placed(parts.before), between=placed(parts.between), after=placed(parts.after))
            for parts in layout.layers(within(state), **constants)
        )

    def build(state: State, **constants: Any) -> Any:
        return layout.build(within(state), **constants)

    def inputs(state: State, seed: int) -> Any:
        return layout.inputs(within(state), seed)

    trunk = (prefix + layout.trunk).rstrip("./")
    return replace(
        layout,
        shapes=shapes,
        operators=operators,
        layers=layers,
        build=build,
        trunk=trunk,
        names=None,
        inputs=inputs,
    )


def constants_of(module: Any, layout: Layout | None = None) -> dict[str, float]:
    """The constants that the parts of a torch module hold: heads, steps, thresholds, the floor of LayerNorm.

    Parameters
    ----------
    module : Module
    layout : Layout, optional
        That of its state dict, by default as `recognise` finds it. The parts that it names are asked, and no others.

    Returns
    -------
    dict
        To be given to `Layout.operators`, `Layout.layers` and `Layout.build`.

    Raises
    ------
    ValueError
        Two layers hold different numbers; the state dict has another layout, or names that are no modules.
    """
    state = module.state_dict()
    layout = recognise(state) if layout is None else layout
    return constants_in(dict(module.named_modules(remove_duplicate=False)), operators_of_any_heads(layout, state))


def constants_in(modules: Mapping[str, Any], operators: Iterable[Operator]) -> dict[str, float]:
    """As `constants_of`, of parts by their names, of any library."""
    found: dict[str, tuple[float, str]] = {}
    for operator in operators:
        for tap in (*operator.reads, operator.gives):
            if tap.module not in modules:
                raise ValueError(f"the module must have a submodule {tap.module!r}, got none of that name")
        for constant, kinds in KINDS.items():
            if operator.kind not in kinds:
                continue
            for place in (operator.reads[0].module, operator.gives.module):
                value = _attribute(modules[place], CONSTANTS[constant])
                if value is None:
                    continue
                before, where = found.setdefault(constant, (value, place))
                if value != before:
                    raise ValueError(
                        f"{constant} must be the same in all layers, got {before} in {where} and {value} in {place}"
                    )
    return {name: value for name, (value, _) in found.items()}


def operators_of_any_heads(layout: Layout, state: State) -> tuple[Operator, ...]:
    """The operators, to learn their places where the number of heads is not known yet."""
    try:
        return layout.operators(state)
    except ValueError:  # heads must be given: any number will do
        return layout.operators(state, heads=1)


def _attribute(module: Any, names: tuple[str, ...]) -> float | None:
    values = (getattr(module, name, None) for name in names)
    return next((value for value in values if isinstance(value, int | float)), None)


def _all() -> Iterable[Layout]:
    from verify.layouts import LAYOUTS

    return LAYOUTS.values()


def _prefixes(state: State) -> Iterator[str]:
    """What comes before a dot or slash in some name, but for numbered layers."""
    found = set()
    for name in state:
        sign = "/" if "/" in name else "."
        parts = name.split(sign)
        for k in range(1, min(len(parts), 4)):
            if parts[k - 1].isdecimal():
                break
            found.add(sign.join(parts[:k]) + sign)
    yield from sorted(found)


def _fits(layout: Layout, state: State) -> bool:
    try:
        require_shapes(state, layout.shapes(state))
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _nearness(layout: Layout, state: State) -> float:
    """Of the names that are there or should be, the share that is both."""
    if layout.names is None:
        return 0.0
    lines = layout.names.lines
    used = [line for line in lines if line.present(state)]
    matched = len(layout.names.judged(state))
    return len(used) / len(lines) * matched / max(1, len(state))
