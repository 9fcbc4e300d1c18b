"""Libraries that come with an extra: what to do where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

EXTRAS = {
    "torch": "torch",
    "sklearn": "data",
    "distributed": "scale",
}
"""Import name to the extra of srr that brings it."""
SAID = {"sklearn": "scikit-learn", "distributed": "Dask"}


def require(module: str, wanted_by: str) -> ModuleType:
    """The module, imported.

    Raises
    ------
    ValueError
        It is not installed; the message says what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or module).partition(".")[0] != module:  # it is there, and lacks something
            raise
        what = f"{wanted_by} needs {SAID.get(module, module)}, which is not installed"
        raise ValueError(f'{what}: pip install "srr[{EXTRAS[module]}]"') from None
