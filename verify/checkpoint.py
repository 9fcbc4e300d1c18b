"""State dicts from checkpoints that may be hostile: nothing in them is executed, and no memory fills up."""

from __future__ import annotations

import pickle
import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from verify import archives

if TYPE_CHECKING:
    from torch import Tensor

TORCH = (".pt", ".pth", ".ckpt", ".bin", ".tar")
SUFFIXES = (*TORCH, ".safetensors", ".npz", ".npy")
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Names under which training scripts keep the state dict beside other things."""
PREFIXES = ("module.", "_orig_mod.")
"""What data-parallel and compiled modules put before every name."""
BESIDE = ("num_batches_tracked", "position_ids", "token_type_ids", "attn.bias")
"""Ends of names of integers that are no weights: counts, places, masks."""


def read(path: str | Path, *, say: Callable[[str], object] = lambda text: None) -> dict[str, Tensor]:
    """The state dict in a file.

    Parameters
    ----------
    path : path
        Of torch (``.pt``, ``.pth``, ``.ckpt``, ``.bin``, ``.tar``), ``.safetensors``, ``.npz`` or ``.npy``.
    say : callable, optional
        Is told in a sentence what was taken off the names, out of wrappers, or left out.

    Returns
    -------
    dict of str to Tensor
        On the CPU: float16, bfloat16, float32, float64, complex64 or complex128, all finite. Where the file allows it
        they are mapped from it, not read.

    Raises
    ------
    ValueError
        The file is missing, a directory, may not be read, is damaged, of another kind, holds anything but tensors or
        claims absurd sizes; or a name or tensor is not as said above. The message names it.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"checkpoint must be a file {', '.join(SUFFIXES)}, got {str(path)!r}")
    archives.require_file(path, "checkpoint")
    if path.suffix in TORCH:
        tree = _torch(path)
    else:
        try:
            tree = _arrays(path)
        except ImportError:
            raise ValueError(f"checkpoint {path.name} needs the safetensors package: pip install safetensors") from None
        except Exception as error:  # NumPy, zipfile and safetensors have many ways to refuse a broken file
            raise archives.unreadable("checkpoint", path, error) from error
    state = _without_prefixes(_unwrapped(tree, path, say), path, say)
    return _tensors(state, path, say)


# --- by kind of file -----------------------------------------------------------------------------------------------


def _torch(path: Path) -> Any:
    """By the unpickler of torch that knows tensors, containers and numbers; and argparse's, a plain record."""
    import torch

    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    try:
        if zipped:
            archives.require_sane_zip(path, most=1)  # torch stores its tensors as they are
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickle protocols
            return torch.load(path, weights_only=True, map_location="cpu", mmap=zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            what = f"got {path.name} with {named[1]}, which srr does not load"
            raise ValueError(f"checkpoint must hold tensors alone, {what}") from error
        reason = re.search(r"WeightsUnpickler error:\s*(.*)", str(error))
        raise archives.unreadable("checkpoint", path, ValueError(reason[1] if reason else error)) from error
    except Exception as error:  # RuntimeError, EOFError, BadZipFile, MemoryError, …
        raise archives.unreadable("checkpoint", path, error) from error


def _arrays(path: Path) -> dict[str, Any]:
    archives.require_sane(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {path.stem: loaded}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


# --- what is in them -----------------------------------------------------------------------------------------------


def _unwrapped(tree: Any, path: Path, say: Callable[[str], object]) -> Mapping[Any, Any]:
    for _ in range(len(WRAPPERS) + 1):
        if not isinstance(tree, Mapping):
            raise ValueError(f"checkpoint must hold a state dict, got {path.name} with {type(tree).__name__}")
        found = [name for name in WRAPPERS if isinstance(tree.get(name), Mapping)]
        if len(found) > 1:
            raise ValueError(f"checkpoint must hold one state dict, got {path.name} with {' and '.join(found)}")
        if not found:
            return tree
        others = sorted(repr(name) for name in tree if name != found[0])
        beside = ", ".join(others[:5]) + ", …" * (len(others) > 5)
        say(f"{path.name} holds its state dict under {found[0]!r}, beside {beside or 'nothing'}.")
        tree = tree[found[0]]
    raise ValueError(f"checkpoint must hold a state dict, got {path.name} with one wrapper in another without end")


def _without_prefixes(state: Mapping[Any, Any], path: Path, say: Callable[[str], object]) -> dict[str, Any]:
    for name in state:
        if not isinstance(name, str):
            raise ValueError(f"checkpoint must have strings for names, got {name!r} in {path.name}")
    inside = {name: a for name, a in state.items() if name.startswith("params/")}
    if inside and len(inside) < len(state):
        say(f"{path.name} has parameters under 'params/'; the {len(state) - len(inside)} others are left out.")
        state = inside
    while state:
        common = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None)
        if common is None:
            break
        say(f"All names in {path.name} begin with {common!r}, which is taken off.")
        state = {name.removeprefix(common): a for name, a in state.items()}
    for name in state:
        for prefix in PREFIXES:
            if prefix + name in state:
                raise ValueError(
                    f"checkpoint must have each name once, got {name!r} and {prefix + name!r} in {path.name}"
                )
    return dict(state)


def _tensors(state: Mapping[str, Any], path: Path, say: Callable[[str], object]) -> dict[str, Tensor]:
    import torch

    allowed = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128)
    found: dict[str, Tensor] = {}
    whole, most = 0, archives.MOST * path.stat().st_size + archives.ROOM
    for name, value in state.items():
        where = f"{name!r} in {path.name}"
        if isinstance(value, np.ndarray):
            value = _from_numpy(value, where)
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{where} must be a tensor, got {type(value).__name__}")
        if value.dtype not in allowed:
            if not value.is_floating_point() and name.endswith(BESIDE):
                say(f"{name!r} is {str(value.dtype).removeprefix('torch.')} and no weight: left out.")
                continue
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
            raise ValueError(f"{where} must be of {names}, got {str(value.dtype).removeprefix('torch.')}")
        if value.layout != torch.strided or value.device.type != "cpu":
            raise ValueError(f"{where} must be a dense tensor with its numbers, got {value.layout} on {value.device}")
        if value.numel() == 0:
            raise ValueError(f"{where} must have no empty axis, got shape {tuple(value.shape)}")
        size = value.numel() * value.element_size()
        whole += size
        if size > value.untyped_storage().nbytes() or whole > most:
            raise ValueError(f"{where} must be no larger than what is stored, got shape {tuple(value.shape)}")
        found[name] = value.detach()
        _require_finite(found[name], where)
    if not found:
        raise ValueError(f"checkpoint must hold tensors, got none in {path.name}")
    return found


def _from_numpy(a: np.ndarray, where: str) -> Tensor:
    import torch

    try:
        return torch.from_numpy(a.astype(a.dtype.newbyteorder("="), copy=False))
    except TypeError as error:
        raise ValueError(f"{where} must be an array of floats, got {a.dtype}") from error


def _require_finite(a: Tensor, where: str) -> None:
    """By the extremes, which takes no memory; what is wrong is looked for only where something is."""
    import torch

    real = torch.view_as_real(a.resolve_conj()) if a.is_complex() else a
    low, high = torch.aminmax(real)
    if torch.isfinite(low) and torch.isfinite(high):
        return
    block = 2**20
    for start in range(0, a.numel(), block):
        index = torch.arange(start, min(start + block, a.numel()))
        places = torch.unravel_index(index, a.shape)
        wrong = torch.nonzero(~torch.isfinite(a[places]))
        if len(wrong):
            place = tuple(int(axis[wrong[0, 0]]) for axis in places)
            raise ValueError(f"{where} must be finite, got {a[place].item()} at {place}")
