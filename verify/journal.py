"""What a long run has done so far, kept in a file: it goes on where it was interrupted.

A line of JSON is added for every job that is done, in one piece. What is kept counts only for the same code, settings
and versions of the libraries, and the same job: each line carries a digest of them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cattrs

from verify.output import append_line
from verify.workers import Done, run_jobs

PACKAGES = ("srr", "derivations", "verify")


@dataclass(frozen=True)
class Journal:
    """A file of results, and the version of all that they depend on: see `version`."""

    path: Path
    version: str

    def read(self) -> dict[str, dict[str, Any]]:
        """What is kept of this version, by the digest of its job; lines that were cut short are passed over."""
        kept = {}
        for line in self.path.read_bytes().splitlines() if self.path.is_file() else ():
            try:
                entry = json.loads(line)
                if entry["version"] == self.version:
                    kept[entry["job"]] = entry
            except (ValueError, TypeError, KeyError):
                continue
        return kept

    def add(self, job: str, done: Done) -> None:
        """Keep what a job returned."""
        entry = {"version": self.version, "job": job, "seconds": done.seconds, "value": cattrs.unstructure(done.value)}
        self.path.parent.mkdir(exist_ok=True)
        append_line(self.path, json.dumps(entry, ensure_ascii=False).encode())


def version(*parts: Any) -> str:
    """A digest of the code of srr, derivations and verify, and of what else a result depends on."""
    digest = sha256(repr(parts).encode())
    for package in PACKAGES:
        for folder in importlib.import_module(package).__path__:
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def resumed(
    journal: Journal | None,
    function: Callable[..., Any],
    context: tuple[Any, ...],
    jobs: Sequence[Any],
    *,
    returns: Any,
    workers: int,
    timeout: float,
) -> Iterator[tuple[Done, bool]]:
    """`verify.workers.run_jobs`, where what is kept need not be done again: first that, then the rest as it is done.

    A job that did not return is not kept.

    Parameters
    ----------
    returns
        The type of what ``function`` returns: a dataclass, or tuples of plain data.

    Yields
    ------
    tuple of Done and bool
        Whether it was kept.
    """
    kept = {} if journal is None else journal.read()
    names = {job: _digest(function, job) for job in jobs}
    for job in jobs:
        if names[job] in kept:
            entry = kept[names[job]]
            yield Done(job, cattrs.structure(entry["value"], returns), None, entry["seconds"]), True
    rest = [job for job in jobs if names[job] not in kept]
    for done in run_jobs(function, context, rest, workers=workers, timeout=timeout):
        if journal is not None and done.problem is None:
            journal.add(names[done.job], done)
        yield done, False


def _digest(function: Callable[..., Any], job: Any) -> str:
    return sha256(f"{function.__qualname__} {job!r}".encode()).hexdigest()[:16]
