"""What files of arrays claim to hold, read before any of it is: nothing is unpacked that could fill the memory."""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy

from verify.names import nearest

MOST = 16
"""How many times its size on disk a file may unpack to; trained weights hardly shrink at all."""
ROOM = 2**20
"""Bytes that any file may unpack to."""
HEADER = 2**24
"""Bytes that the header of a safetensors file, or the pickle of a torch file, may have: far more than is usual."""
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits of an element, by the names of safetensors."""


def require_file(path: Path, name: str) -> None:
    """A file that exists and can be read.

    Raises
    ------
    ValueError
        There is none, it is a directory or a device, or may not be read.
    """
    if path.is_dir():
        raise ValueError(f"{name} must be a file, got the directory {str(path)!r}")
    if not path.exists():
        raise ValueError(f"{name} must be a file that exists, got {str(path)!r}{_beside(path)}")
    if not path.is_file():
        raise ValueError(f"{name} must be a regular file, got {str(path)!r}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{name} must be a file that may be read, got {str(path)!r}: {error.strerror}") from error


def _beside(path: Path) -> str:
    """The files of its kind there whose names are most like it."""
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return nearest(path.name, sorted(each.name for each in there if each.suffix == path.suffix))


def unreadable(name: str, path: Path, error: Exception) -> ValueError:
    """What to raise for a file that is damaged or of another kind."""
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ValueError(f"{name} must be a whole {path.suffix} file, got {path.name}: {reason}")


def require_sane(path: Path) -> None:
    """An .npy, .npz or .safetensors file whose arrays are as large as they claim, and no larger than what is there.

    Raises
    ------
    ValueError
        An array claims another size, a name comes twice, the file unpacks to an absurd size, or it is no such file.
    zipfile.BadZipFile, OSError
        An .npz file is damaged.
    """
    if path.suffix == ".npz":
        require_sane_zip(path)
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    _require_sane_npy(file, entry.file_size, entry.filename)
    elif path.suffix == ".npy":
        with path.open("rb") as file:
            _require_sane_npy(file, path.stat().st_size, path.name)
    else:
        _require_sane_safetensors(path)


def require_sane_zip(path: Path, *, most: float = MOST) -> None:
    """A zip archive with no name twice, which unpacks to no absurd size, and with no large pickle.

    Raises
    ------
    ValueError
        A name comes twice, the archive unpacks to more than ``most`` times its size, or a pickle is large.
    zipfile.BadZipFile, OSError
        It is damaged, or no zip archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    _require_once(entry.filename for entry in entries)
    whole, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if whole > most * size + ROOM:
        raise ValueError(f"it unpacks to {whole:,} bytes, more than {most:g} times its {size:,}")
    for entry in entries:
        if entry.filename.endswith(".pkl") and entry.file_size > HEADER:
            raise ValueError(f"it holds a pickle of {entry.file_size:,} bytes, beside its tensors")


def _require_sane_npy(file: IO[bytes], size: int, name: str) -> None:
    start = file.read(len(npy.MAGIC_PREFIX))
    if start and start != npy.MAGIC_PREFIX:
        raise ValueError(f"{name} is no array of NumPy, but damaged or pickled objects, which srr does not load")
    file.seek(0)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"{name} has format version {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which srr does not load")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - file.tell():
        raise ValueError(f"{name} claims shape {shape} of {dtype}, {claimed:,} bytes, and has {size - file.tell():,}")


def _require_sane_safetensors(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER):
            raise ValueError(f"it claims a header of {length:,} bytes, and has {max(0, size - 8):,}")
        try:
            header = json.loads(file.read(length), object_pairs_hook=_once)
        except RecursionError as error:
            raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no table of tensors")
    header.pop("__metadata__", None)
    for name, about in header.items():
        try:
            shape, (start, stop), bits = about["shape"], about["data_offsets"], BITS[about["dtype"]]
            claimed = math.prod(shape) * bits // 8
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name!r} has no known dtype, shape and place, but {about}") from error
        if claimed != stop - start or not 0 <= start <= stop <= size - 8 - length:
            place = f"bytes {start:,} to {stop:,} of {size - 8 - length:,}"
            raise ValueError(f"{name!r} claims shape {tuple(shape)}, {claimed:,} bytes, and has {place}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require_once(name for name, _ in pairs)
    return dict(pairs)


def _require_once(names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"it holds {name!r} {times} times")
