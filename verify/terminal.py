"""What ``srr`` prints: 80 columns, colour on terminals only, and no blanks at the ends of lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Console


@contextmanager
def page() -> Iterator[Console]:
    """A console whose text goes to stdout when all of it is there."""
    console = Console(highlight=False)
    with console.capture() as captured:
        yield console
    print("\n".join(line.rstrip() for line in captured.get().split("\n")), end="")


@contextmanager
def progress(total: int, doing: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr, or a line each minute where that is no terminal, with the time left.

    Yields what to call, with what is to be said, at each step; also whether it was done before and takes no time.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<44.44}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    bar = Progress(
        *columns,
        console=console,
        get_time=monotonic,
        speed_estimate_period=600,
        transient=True,
        disable=not console.is_terminal,
    )
    shown = monotonic()
    with bar:
        bar.add_task(doing, total=total)
        (task,) = bar.tasks

        def advance(said: str, before: bool = False) -> None:
            nonlocal shown
            if before:
                bar.update(task.id, total=task.total - 1)
                return
            bar.update(task.id, advance=1, description=said)
            if bar.disable and monotonic() - shown > 60 and task.time_remaining:
                shown, left = monotonic(), timedelta(seconds=round(task.time_remaining))
                print(f"{task.completed:g} of {task.total:g} done, {left} left: {said}", file=sys.stderr, flush=True)

        yield advance
