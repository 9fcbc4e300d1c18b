"""What ``srr`` prints: 80 columns, colour on terminals only, and no blanks at the ends of lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def page() -> Iterator[Console]:
    """A console whose text goes to stdout when all of it is there."""
    console = Console(highlight=False)
    with console.capture() as captured:
        yield console
    print("\n".join(line.rstrip() for line in captured.get().split("\n")), end="")


@contextmanager
def progress(total: int, doing: str) -> Iterator[Callable[[str], None]]:
    """A bar on stderr, on terminals only; yields what to call, with what is to be said, at each step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<44.44}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda said: bar.update(task, advance=1, description=said)
