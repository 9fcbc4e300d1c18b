"""How published networks name their parts, one file for each."""

from verify.layouts.crate import CRATE
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap

LAYOUTS = {layout.name: layout for layout in (CRATE,)}
"""By name."""

__all__ = ["LAYOUTS", "LayerParts", "Layout", "Operator", "State", "Tap"]


def recognise(state):
    return LAYOUTS["crate"]


def constants_of(module):
    found = {}
    for sub in module.modules():
        for ours, names in {"heads": ("heads", "num_heads"), "step_size": ("step_size",), "lambd": ("lambd",)}.items():
            for name in names:
                value = getattr(sub, name, None)
                if isinstance(value, int | float) and ours not in found:
                    found[ours] = value
    return found
