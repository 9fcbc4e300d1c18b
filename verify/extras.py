"""Libraries that come with an extra: what to do where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

PACKAGES = {"sklearn": "scikit-learn", "cupy": "cupy-cuda13x"}
"""Import name to what pip calls it, where that is another name."""
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
        raise ValueError(f"{what}: pip install {PACKAGES.get(module, module)}") from None
