"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def require_writable(path: Path, name: str, *, folder: bool = False) -> None:
    """Tell before the work, not after it, that its results cannot be written: a file, or a folder of files.

    Raises
    ------
    ValueError
        The path is of the wrong kind, the folder it is to be in is missing, or no file can be made there.
    """
    if path.exists() and path.is_dir() != folder:
        raise ValueError(f"{name} must be a {'folder' if folder else 'file'}, got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"{name} must be in a folder that exists, got {path}")
    try:
        tempfile.TemporaryDirectory(dir=path if path.is_dir() else path.parent).cleanup()
    except OSError as error:
        raise ValueError(f"{name} must be where files can be written, got {path}: {error.strerror}") from error


def write_all(files: Iterable[tuple[Path, str | bytes]]) -> None:
    """Write files, all of them or none: first beside their places, then into them; makes the folder they are in."""
    written: list[tuple[str, Path]] = []
    made: list[Path] = []
    try:
        for path, content in files:
            if not path.parent.exists():
                path.parent.mkdir()
                made.append(path.parent)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written.append((temporary, path))
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes it private
        while written:
            os.replace(*written[0])
            written.pop(0)
        made.clear()
    finally:
        for temporary, _ in written:
            os.unlink(temporary)
        for folder in made:
            with suppress(OSError):  # something else has been put there
                folder.rmdir()


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, on the disk when this returns; what was left of a line that was cut short stays one."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
