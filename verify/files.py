"""Arrays from a user's files: .npy, .npz and .safetensors, nothing executed, no number changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verify import archives
from verify.names import nearest

SUFFIXES = (".npy", ".npz", ".safetensors")


def load(source: str, name: str, *, key: str, integers: bool = False) -> np.ndarray:
    """The float32 or float64 array in a file, in this machine's byte order.

    Parameters
    ----------
    source : str
        ``FILE``, or ``FILE:ARRAY`` for one of several arrays in it.
    name : str
        What to call it in error messages.
    key : str
        The array taken if there are several and none is named.
    integers : bool
        Whether it may be one of integers, such as the numbers of words.

    Raises
    ------
    ValueError
        The file is missing, unreadable, truncated, pickled or of another kind; it has no such array, or the array is
        of another dtype or not finite.
    """
    path, wanted = _existing(source, name)
    array = _chosen(_arrays(path, name), wanted, key, f"{name} in {path.name}")
    return _checked(array, f"{name} in {path.name}", integers)


@dataclass(frozen=True)
class Rows:
    """An .npy file, of any size if in C order: a slice of rows is read, and checked as by `load`, when it is asked for.

    A file that has changed since it was opened is refused then.
    """

    path: Path
    name: str
    integers: bool
    written: tuple[int, int]
    """Its size and the time of its last change, when it was opened."""

    def __len__(self) -> int:
        return len(self._mapped())

    def __getitem__(self, rows: slice) -> np.ndarray:
        # Mapped anew each time: pages of a mapping that stays count as memory of this process.
        array = np.array(self._mapped()[rows])
        return _checked(array, f"{self.name} in {self.path.name}", self.integers, rows.start or 0)

    def _mapped(self) -> np.ndarray:
        if _written(self.path) != self.written:
            raise ValueError(f"{self.name} in {self.path.name} must stay as it is while it is read, got another file")
        mapped: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped


def _written(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def rows(source: str, name: str, *, key: str, integers: bool = False) -> np.ndarray | Rows:
    """As `load`, but of an .npy file what is read is the slice of rows that is asked for.

    Raises
    ------
    ValueError
        As `load` does, for numbers that are not finite when their slice is asked for; or then the file is another.
    """
    path, wanted = _existing(source, name)
    if path.suffix == ".npy" and wanted is None:
        with suppress(Exception):  # what is wrong with a file `load` says
            archives.require_sane(path)
            found = Rows(path, name, integers, _written(path))
            found[0:0]
            return found
    return load(source, name, key=key, integers=integers)


def _checked(array: np.ndarray, name: str, integers: bool, first: int = 0) -> np.ndarray:
    """Rows from ``first`` on, in this machine's byte order."""
    native = array.dtype.newbyteorder("=")
    if integers and array.dtype.kind in "iu" and array.ndim:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} must be of integers that int64 can hold, got {array.max()}")
        return np.ascontiguousarray(array, dtype=np.int64)
    if native not in (np.float32, np.float64):
        raise ValueError(f"{name} must be float32 or float64, got {array.dtype}")
    if not np.isfinite(array).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        index = tuple(i + first if axis == 0 else i for axis, i in enumerate(place))
        raise ValueError(f"{name} must be finite, got {array[tuple(place)]} at index {index}")
    return np.ascontiguousarray(array, dtype=native)


def load_labels(source: str, n: int) -> np.ndarray:
    """The n integers of a file named as in `load`, renumbered from 0 without gaps.

    Raises
    ------
    ValueError
        As `load` does; or they are no n integers.
    """
    path, wanted = _existing(source, "labels")
    array = _chosen(_arrays(path, "labels"), wanted, "labels", f"labels in {path.name}")
    if array.dtype.kind not in "iu" or array.shape != (n,):
        raise ValueError(f"labels in {path.name} must be {n} integers, got {array.dtype} of shape {array.shape}")
    return np.unique(array, return_inverse=True)[1]


def _existing(source: str, name: str) -> tuple[Path, str | None]:
    path, wanted = _split(source)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{name} must be a file {', '.join(SUFFIXES)}, got {source!r}")
    archives.require_file(path, name)
    return path, wanted


def _split(source: str) -> tuple[Path, str | None]:
    if Path(source).suffix in SUFFIXES:
        return Path(source), None
    head, colon, tail = source.rpartition(":")
    return (Path(head), tail) if colon else (Path(source), None)


def _arrays(path: Path, name: str) -> Mapping[str, np.ndarray]:
    if path.suffix == ".safetensors":
        return _safetensors(path, name)
    try:
        archives.require_sane(path)
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # NumPy and zipfile have many ways to refuse a broken file
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise ValueError(
                f"{name} must be an array of numbers, got {path.name}: "
                "damaged, or pickled objects, which srr does not load"
            ) from error
        raise archives.unreadable(name, path, error) from error


def _safetensors(path: Path, name: str) -> Mapping[str, np.ndarray]:
    try:
        from safetensors.numpy import load_file
    except ImportError:
        raise ValueError(f"{name} in {path.name} needs the safetensors package: pip install safetensors") from None
    try:
        archives.require_sane(path)
        return load_file(path)
    except Exception as error:  # SafetensorError; KeyError for a dtype that NumPy has not
        raise archives.unreadable(name, path, error) from error


def _chosen(arrays: Mapping[str, np.ndarray], wanted: str | None, key: str, name: str) -> np.ndarray:
    present = ", ".join(map(repr, arrays)) or "none"
    if wanted is not None:
        if wanted not in arrays:
            raise ValueError(f"{name} must be one of its arrays {present}, got {wanted!r}{nearest(wanted, arrays)}")
        return arrays[wanted]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if key not in arrays:
        raise ValueError(f"{name} must be named as FILE:ARRAY, got a file with {present}")
    return arrays[key]
