"""Jobs in processes of their own, so that one that crashes, hangs or dies takes nothing else with it.

The standard pools cannot do this: a process that dies breaks the whole pool, and a call that hangs cannot be
stopped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""Small factorisations are 8 to 60 times slower with several BLAS threads."""
UNOPTIMISED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
"""JAX compiles for every shape, most of which come once: twice as fast when XLA spends no time on optimising."""


@dataclass(frozen=True)
class Done:
    """A job that returned ``value``, or else did not: ``problem`` says why."""

    job: Any
    value: Any
    problem: str | None
    seconds: float


def run_jobs(
    function: Callable[..., Any],
    context: tuple[Any, ...],
    jobs: Sequence[Any],
    *,
    workers: int,
    timeout: float,
) -> Iterator[Done]:
    """Yield ``function(*context, job)`` for each job, in the order in which they are done.

    Parameters
    ----------
    function
        Importable by name; called in fresh processes with one BLAS thread each.
    context
        The same for every job; pickled once for each process.
    timeout
        Seconds after which a job is stopped, and its process with it.
    """
    waiting = deque(jobs)
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Worker(function, context))
                running[-1].give(waiting.popleft(), timeout)
            pause = max(0.0, min(w.deadline for w in running) - time.monotonic())
            ready = set(wait([w.pipe for w in running], timeout=pause))
            for worker in list(running):
                if worker.pipe in ready:
                    done, alive = worker.receive()
                elif time.monotonic() >= worker.deadline:
                    done, alive = worker.overdue(timeout), False
                else:
                    continue
                if alive and waiting:
                    worker.give(waiting.popleft(), timeout)
                else:
                    running.remove(worker)
                    worker.stop()
                yield done
    finally:
        for worker in running:
            worker.stop()


class _Worker:
    """A process, and the job it has been given."""

    def __init__(self, function: Callable[..., Any], context: tuple[Any, ...]) -> None:
        spawn = get_context("spawn")  # fork copies threads and CUDA contexts in a broken state
        self.pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, function, context), daemon=True)
        with environment(ONE_THREAD | UNOPTIMISED):  # the child reads it when it imports NumPy or JAX
            self._process.start()
        theirs.close()
        self._job: Any = None
        self._since = self.deadline = 0.0

    def give(self, job: Any, timeout: float) -> None:
        self._job, self._since = job, time.monotonic()
        self.deadline = self._since + timeout
        with suppress(OSError):  # it has died since; receive() finds the pipe closed and says so
            self.pipe.send(job)

    def receive(self) -> tuple[Done, bool]:
        try:
            value, problem = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return self._done(None, f"the process died (exit code {self._process.exitcode})"), False
        return self._done(value, problem), True

    def overdue(self, timeout: float) -> Done:
        return self._done(None, f"stopped after {timeout:g} s")

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _done(self, value: Any, problem: str | None) -> Done:
        return Done(self._job, value, problem, time.monotonic() - self._since)


def _serve(pipe: Connection, function: Callable[..., Any], context: tuple[Any, ...]) -> None:
    try:
        while True:
            job = pipe.recv()
            answer: tuple[Any, str | None]
            try:
                answer = function(*context, job), None
            except Exception as error:
                answer = None, f"{type(error).__name__}: {error}"
            pipe.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the parent has gone, or is stopping


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
