"""How published networks name their parts, one file for each."""

from verify.layouts.crate import CRATE
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap

LAYOUTS = {layout.name: layout for layout in (CRATE,)}
"""By name."""

__all__ = ["LAYOUTS", "LayerParts", "Layout", "Operator", "State", "Tap"]
