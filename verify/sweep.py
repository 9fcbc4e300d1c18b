"""An experiment over many values of its parameters, on any executor; a cell that is done is never lost or done twice.

Finished cells are lines of a file, each appended at once and named by a hash of the experiment, the code of srr and
the cell's parameters. A line that was cut off by the end of the process is not a line, and its cell is done again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from verify.archives import require_file
from verify.experiments import load as experiment_named
from verify.experiments.experiment import Row
from verify.extras import require
from verify.output import append_line

CELLS = 10**5
"""The most that one design may have: each is held in memory."""
LARGEST = 2**62
"""Above the moduli between which numbers are drawn."""
ATTEMPTS = 3
"""How often a cell is given to a worker that dies before it is called failed."""


@dataclass(frozen=True)
class Cell:
    """One choice of parameters."""

    experiment: str
    parameters: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Done:
    """What became of a cell: its rows, or the error that ended it."""

    cell: Cell
    rows: tuple[Row, ...]
    error: str | None


@dataclass(frozen=True)
class Design:
    """A sweep as its file describes it."""

    experiment: str
    cells: tuple[Cell, ...]


# --- the design -------------------------------------------------------------------------------------------------


def read(path: Path) -> Design:
    """The design in a TOML file: ``experiment``, ``fixed`` parameters, and either ``grid`` or ``random``.

    ``[grid]`` has a list of values for each parameter, all combinations of which are cells. ``[random]`` has
    ``samples``, ``seed``, and for each parameter ``{low, high}`` with ``log = true`` if wanted, or ``{choices}``.

    Raises
    ------
    ValueError
        The file cannot be read or is no TOML; a key or parameter is unknown, of another type, or empty. The message
        names the file, the line and the key.
    """
    import tomllib

    require_file(path, "FILE")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} must be a TOML file, got {type(error).__name__}: {error}") from error
    try:
        return _design(data)
    except ValueError as error:
        raise ValueError(f"{path}, line {_line(text, str(error))}: {error}") from None


def _design(data: Mapping[str, Any]) -> Design:
    for key in data:
        if key not in ("experiment", "fixed", "grid", "random"):
            raise ValueError(f"{key} must be one of experiment, fixed, grid, random")
    if not isinstance(data.get("experiment"), str):
        raise ValueError(f"experiment must be the name of one, got {data.get('experiment')!r}")
    name, fixed = data["experiment"], _table(data, "fixed")
    found = experiment_named(name)
    found.with_parameters(fixed)
    if ("grid" in data) == ("random" in data):
        raise ValueError(f"grid must be there, or random, and not both; got {'both' if 'grid' in data else 'neither'}")
    varied = _table(data, "grid" if "grid" in data else "random")
    for both in fixed:
        if both in varied:
            raise ValueError(f"{both} must be fixed or varied, got it in both")
    for parameter, values in varied.items():
        values = values.get("choices") if isinstance(values, dict) else values
        if found.is_list(parameter) and isinstance(values, list) and not all(isinstance(v, list) for v in values):
            each = ", ".join(
                f"[{json.dumps(value, default=str)}]" for value in values[:3] if not isinstance(value, list)
            )
            raise ValueError(f"{parameter} must have a list for each of its values, as [{each}], got {values!r}")
    choices = _grid(varied) if "grid" in data else _random(varied)
    cells = []
    for chosen in choices:
        cells.append(cell_of(name, found.with_parameters({**fixed, **chosen})))
    return Design(name, tuple({cell.key: cell for cell in cells}.values()))


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ValueError(f"{key} must be a table, got {table!r}")
    return table


def _grid(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not grid:
        raise ValueError("grid must have at least one parameter, got none")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{name} must be a list of at least one value, got {values!r}")
    cells = math.prod(map(len, grid.values()))
    if cells > CELLS:
        raise ValueError(f"grid must have at most {CELLS} cells, got {cells}")
    return (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))


def _random(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    samples, seed = given.get("samples"), given.get("seed", 0)
    for name, value, least in (("samples", samples, 1), ("seed", seed, 0)):
        if type(value) is not int or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if samples > CELLS:
        raise ValueError(f"samples must be at most {CELLS}, got {samples}")
    ranges = {name: value for name, value in given.items() if name not in ("samples", "seed")}
    if not ranges:
        raise ValueError("random must have at least one parameter, got none")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    draws = {name: _drawn(name, value, samples, rng) for name, value in ranges.items()}
    return ({name: values[i] for name, values in draws.items()} for i in range(samples))


def _drawn(name: str, spec: Any, samples: int, rng: np.random.Generator) -> list[Any]:
    if isinstance(spec, dict) and set(spec) == {"choices"} and isinstance(spec["choices"], list) and spec["choices"]:
        return [spec["choices"][i] for i in rng.integers(0, len(spec["choices"]), samples)]
    numbers = isinstance(spec, dict) and {"low", "high"} <= set(spec) <= {"low", "high", "log"}
    if not numbers or not all(type(spec[end]) in (int, float) for end in ("low", "high")):
        raise ValueError(f"{name} must be {{low, high}} or {{choices}}, got {spec!r}")
    low, high, log = spec["low"], spec["high"], spec.get("log", False)
    if type(log) is not bool or not all(abs(end) < LARGEST for end in (low, high)):
        raise ValueError(f"{name} must have log true or false and ends below 2^62, got {spec!r}")
    if not low < high or (log and low <= 0):
        raise ValueError(f"{name} must have low < high, above 0 with log, got {spec!r}")
    if type(low) is int and type(high) is int and not log:
        return [int(value) for value in rng.integers(low, high + 1, samples)]
    drawn = np.exp(rng.uniform(np.log(low), np.log(high), samples)) if log else rng.uniform(low, high, samples)
    return [float(value) for value in drawn]


def _line(text: str, message: str) -> int:
    """The line of the key that a message begins with; the first if it is in none."""
    key = message.split(" ", 1)[0].split("[", 1)[0]
    for number, line in enumerate(text.splitlines(), 1):
        if line.split("=", 1)[0].strip().strip("[]\"'") == key:
            return number
    return 1


def cell_of(name: str, given: Any) -> Cell:
    """An experiment at parameters of its own kind."""
    parameters = asdict(given)
    return Cell(name, parameters, key_of(name, parameters))


def key_of(name: str, parameters: Mapping[str, Any]) -> str:
    """A hash of an experiment, the code of srr and parameters."""
    content = json.dumps([name, _code(), parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@cache
def _code() -> str:
    from verify.journal import version

    return version()


# --- the run ----------------------------------------------------------------------------------------------------


def run(
    design: Design, journal: Path, executor: Callable[[], AbstractContextManager[Executor]], *, workers: int
) -> Iterator[Done]:
    """Do the cells that a journal does not have yet, append each as it is done, and yield it.

    A cell that raises is done, with its error. One whose worker dies is given to another, `ATTEMPTS` times in all.

    Parameters
    ----------
    design : Design
    journal : Path
        The file of finished cells; made if it is not there.
    executor : callable
        Makes one, anew after a worker's death broke the last.
    workers : int
        How many cells to have out at once.

    Raises
    ------
    ValueError
        The journal is of another kind, or another sweep writes to it.
    """
    with alone(journal):
        yield from _remaining(design, journal, executor, workers)


@contextmanager
def alone(journal: Path) -> Iterator[None]:
    """No other process has the journal, where the system has locks; this one goes with the process."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with journal.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{journal} must be that of one sweep, got one that another is writing to") from None
        except OSError:  # a file system without locks
            pass
        yield


def _remaining(
    design: Design, journal: Path, executor: Callable[[], AbstractContextManager[Executor]], workers: int
) -> Iterator[Done]:
    done = load(journal)
    left = [cell for cell in design.cells if cell.key not in done]
    deaths: dict[str, int] = {}
    while left:
        try:
            with executor() as pool:
                for finished in _through(pool, list(left), workers):
                    append(journal, finished)
                    left.remove(finished.cell)
                    yield finished
        except _WorkerDied as death:
            for cell in death.cells:
                deaths[cell.key] = deaths.get(cell.key, 0) + 1
                if deaths[cell.key] >= ATTEMPTS:
                    finished = Done(cell, (), f"its worker died {ATTEMPTS} times")
                    append(journal, finished)
                    left.remove(cell)
                    yield finished


class _WorkerDied(Exception):
    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__(f"a worker died on one of {len(cells)} cells")
        self.cells = cells


def _through(pool: Executor, cells: list[Cell], workers: int) -> Iterator[Done]:
    out: dict[Future[Any], Cell] = {}
    try:
        while cells or out:
            while cells and len(out) < workers:
                cell = cells.pop(0)
                try:
                    future = pool.submit(compute, cell.experiment, dict(cell.parameters))
                except BrokenExecutor as broken:  # by a worker that died after the last wait
                    raise _WorkerDied(list(out.values()) or [cell]) from broken
                out[future] = cell
            for future in wait(out, return_when=FIRST_COMPLETED).done:
                cell = out[future]
                try:
                    rows, error = future.result()
                except BrokenExecutor as broken:
                    raise _WorkerDied(list(out.values())) from broken
                except Exception as failure:  # a scheduler's own: a worker killed, a result lost
                    if type(failure).__name__ not in ("KilledWorker", "CancelledError", "FutureCancelledError"):
                        raise
                    raise _WorkerDied([cell]) from failure
                del out[future]
                yield Done(cell, tuple(rows), error)
    finally:
        for future in out:
            future.cancel()


def compute(name: str, parameters: dict[str, Any]) -> tuple[list[Row], str | None]:
    """The rows of one cell, or none and the error that it raised. Runs in the workers."""
    try:
        found = experiment_named(name)
        rows = list(found.run(found.with_parameters(parameters)))
        json.dumps(rows, ensure_ascii=False, allow_nan=False).encode()  # or they could not be kept
        return rows, None
    except Exception as error:
        return [], f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()


# --- the journal ------------------------------------------------------------------------------------------------


def load(journal: Path) -> dict[str, Done]:
    """Finished cells by key; the last line counts only if it is whole.

    Raises
    ------
    ValueError
        Another line is not one that a sweep writes; the message says which, and what to do.
    """
    if not journal.exists():
        return {}
    found = {}
    for number, line in enumerate(journal.read_bytes().split(b"\n"), 1):
        if not line:
            continue
        try:
            data = json.loads(line)
            cell = Cell(data["experiment"], data["parameters"], data["key"])
            found[cell.key] = Done(cell, tuple(data["rows"]), data["error"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if not _is_cut_off(journal, line):
                raise ValueError(
                    f"{journal} must be a journal of sweeps, got line {number}: {line[:60]!r}; delete that line, and "
                    "what it kept is done again, or write to another folder with --out"
                ) from error
    return found


def _is_cut_off(journal: Path, line: bytes) -> bool:
    """Whether a line is the start of one that was not written to its end."""
    return line.startswith(b'{"key": "'[: len(line)])


def append(journal: Path, finished: Done) -> None:
    """Add a finished cell, on the disk when this returns."""
    data = {
        "key": finished.cell.key,
        "experiment": finished.cell.experiment,
        "parameters": finished.cell.parameters,
        "rows": finished.rows,
        "error": finished.error,
    }
    append_line(journal, json.dumps(data, ensure_ascii=False).encode())


def results(design: Design, journal: Path) -> str:
    """All finished cells of a design in its order, as JSON: the same bytes whatever order they were done in."""
    done = load(journal)
    cells = [
        {
            "parameters": cell.parameters,
            "rows": done[cell.key].rows,
            "error": done[cell.key].error,
        }
        for cell in design.cells
        if cell.key in done
    ]
    return (
        json.dumps({"schema": 1, "experiment": design.experiment, "cells": cells}, indent=1, ensure_ascii=False) + "\n"
    )


def varied(design: Design) -> list[str]:
    """The parameters that cells differ in, by name."""
    names = {name for cell in design.cells for name in cell.parameters}
    return sorted(n for n in names if len({json.dumps(cell.parameters[n]) for cell in design.cells}) > 1)


def table(design: Design, journal: Path) -> str:
    """All rows of finished cells as CSV, each with those parameters that cells differ in, as ``cell.NAME``."""
    done, content, names = load(journal), io.StringIO(), varied(design)
    finished = [cell for cell in design.cells if cell.key in done]
    rows = [
        {f"cell.{name}": cell.parameters[name] for name in names} | row
        for cell in finished
        for row in done[cell.key].rows
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(content, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


# --- executors --------------------------------------------------------------------------------------------------


def executor(workers: int, scheduler: str | None) -> Callable[[], AbstractContextManager[Executor]]:
    """In this process for no workers, else a pool of processes with one BLAS thread each, or a Dask cluster.

    Raises
    ------
    ValueError
        Dask is not installed, or no scheduler answers at that address.
    """
    if scheduler is not None:
        return lambda: _dask(scheduler)
    return _here if workers == 0 else lambda: _pool(workers)


@contextmanager
def _here() -> Iterator[Executor]:
    yield _InProcess()


class _InProcess(Executor):
    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from verify.workers import ONE_THREAD, environment

    with environment(ONE_THREAD):
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.terminate()


@contextmanager
def _dask(scheduler: str) -> Iterator[Executor]:
    require("distributed", "scheduler")
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"scheduler must be the address of one that answers, got {scheduler!r}: {error}") from error
    with client:
        yield client.get_executor(pure=False, retries=ATTEMPTS)
