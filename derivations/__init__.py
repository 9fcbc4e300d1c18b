"""The mathematics of srr as derivations that a machine checks.

A `proof.Derivation` leads from one expression (`derivations.expression`) to another in steps, each by a rule of
`derivations.checks`. Equality for all sizes is decided by normal forms (`derivations.normal`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derivations.proof import Derivation


@cache
def catalogue() -> dict[str, Derivation]:
    """Every derivation by its name, module by module."""
    from derivations.proof import Derivation

    found: dict[str, Derivation] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        for value in vars(import_module(f"{__name__}.{module}")).values():
            if isinstance(value, Derivation) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"two derivations have the name {value.name}")
    return found
