"""Somebody's code, named on the command line as ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from verify.names import nearest


def load(target: str, name: str) -> Any:
    """The object at ``package.module:name``, of what is installed or lies in the folder at hand.

    Whatever can be called, and is no Module already, of torch or of Flax, is called without arguments: a class or a
    factory.

    Parameters
    ----------
    target : str
    name : str
        What to call it in error messages.

    Raises
    ------
    ValueError
        It is not of that form, cannot be imported, or fails when it is called.
    """
    module, colon, attribute = target.partition(":")
    if not (colon and module and attribute):
        raise ValueError(f"{name} must be package.module:name, got {target!r}")
    if module.endswith(".py"):
        dotted = ".".join(Path(module).with_suffix("").parts)
        raise ValueError(f"{name} must be package.module:name, got {target!r}; did you mean {dotted}:{attribute}?")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            what = f"got {target!r}, which needs {error.name}: install it"
        else:
            what = f"got {target!r}: no {error.name} is installed, and none lies in this folder, {here}"
        raise ValueError(f"{name} must be importable, {what}") from error
    except Exception as error:
        raise ValueError(f"{name} must be importable, got {type(error).__name__} from {module}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{name} must be in {module}, which has no {attribute}{nearest(part, vars(found))}")
        found = getattr(found, part)
    if not callable(found) or _is_module(found):
        return found
    try:
        return found()
    except Exception as error:
        raise ValueError(f"{name} must be made by {target}(), got {type(error).__name__}: {error}") from error


def _is_module(found: Any) -> bool:
    """Whether it is a network, of torch or of Flax, and not what makes one."""
    classes = (("torch.nn", "Module"), ("flax.linen", "Module"), ("flax.nnx", "Module"))
    return any(isinstance(found, getattr(sys.modules[home], name)) for home, name in classes if home in sys.modules)
