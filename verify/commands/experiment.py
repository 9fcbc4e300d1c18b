"""``srr experiment``: one of the field's questions, asked again on synthetic data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from verify.usage import Flag, UsageError, user_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from verify.experiments.experiment import Experiment, Row


def experiment(
    name: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    full: Flag = False,
    set: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), show_default=False)] = (),
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Run an experiment: a table, what it answers, and with --out its figure and numbers.

    With --out, what is finished is kept there: the same command goes on where an earlier one was ended.

    Parameters
    ----------
    name
        Which; without it, the list of them.
    full
        At full size, which takes longer than a minute.
    set
        Parameters, name=value, with values as in TOML: eps=[0.1, 1.0].
    out
        A folder for NAME.svg, NAME.png and NAME.json, and NAME.cells.jsonl, the rows so far.
    json
        Print the numbers as JSON.

    Returns
    -------
    int
        0, or 130 if it was interrupted.
    """
    from verify.experiments import NAMES, load
    from verify.experiments.results import to_json
    from verify.output import require_writable
    from verify.terminal import page, progress

    if name is None:
        from rich.padding import Padding

        with page() as console:
            for each in NAMES:
                found = load(each)
                console.print(f"{each}: {found.title}")
                console.print(Padding(found.question, (0, 0, 0, 2)))
        return 0
    with user_input():
        chosen = load(name)
        given = chosen.with_parameters({**(chosen.full if full else {}), **_read(set)})
        if out is not None:
            require_writable(out, "out", folder=True)
    rows: list[Row] = []
    total = chosen.total(given)
    try:
        with progress(total, chosen.title) as advance:
            for row, before in _rows(chosen, given, out):
                rows.append(row)
                advance(chosen.title, before)
    except ValueError as error:  # of a parameter that only the experiment can judge
        raise UsageError(str(error)) from error
    except KeyboardInterrupt:
        if out is None:
            raise
        print(f"Ended at {len(rows)} of {total} rows; the same command goes on.")
        return 130
    document = to_json(chosen, given, rows)
    if out is not None:
        _write(out, chosen, rows, document)
    if json:
        print(document, end="")
    else:
        with page() as console:
            _print(console, chosen, rows)
    return 0


def _rows(chosen: Experiment, given: Any, out: Path | None) -> Iterator[tuple[Row, bool]]:
    """Every row, and whether it was there before: kept in a folder if there is one, cell by cell."""
    if out is None:
        yield from ((row, False) for row in chosen.run(given))
        return
    from verify import sweep

    out.mkdir(exist_ok=True)
    journal = out / f"{chosen.name}.cells.jsonl"
    with sweep.alone(journal):
        done = sweep.load(journal)
        for each in chosen.cells(given):
            cell = sweep.cell_of(chosen.name, each)
            before = cell.key in done
            if not before:
                done[cell.key] = sweep.Done(cell, tuple(chosen.run(each)), None)
                sweep.append(journal, done[cell.key])
            yield from ((row, before) for row in done[cell.key].rows)


def _read(settings: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs, the values as TOML reads them; a word may go without its quotes."""
    import tomllib

    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name):
            raise UsageError(f"set must be name=value, got {setting!r}")
        if name in found:
            raise UsageError(f"set must give {name} once, got {setting!r} as well")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def _print(console: Console, chosen: Experiment, rows: list[Row]) -> None:
    from rich.table import Table

    console.print(chosen.question)
    cells = {column: [_short(row[column]) for row in rows] for column in chosen.columns}
    width = {column: max(map(len, [*column.split(), *texts])) for column, texts in cells.items()}
    for columns in _blocks(cells, width, console.width):
        table = Table(box=None, pad_edge=False)
        for column in columns:
            side = "left" if isinstance(rows[0][column], str) else "right"
            table.add_column(column, justify=side, width=width[column])
        for row in zip(*(cells[column] for column in columns), strict=True):
            table.add_row(*row)
        console.print(table)
        console.print()
    console.print(chosen.verdict(rows))


def _blocks(cells: Mapping[str, Sequence[str]], width: Mapping[str, int], fits: int) -> list[list[str]]:
    """Columns for tables that fit, each of which begins with those that tell the rows apart."""
    names, rows = list(cells), list(zip(*cells.values(), strict=True))
    told = next(k for k in range(1, len(names) + 1) if len({row[:k] for row in rows}) == len(set(rows)))
    blocks = [names[:told]]
    for name in names[told:]:
        if len(blocks[-1]) > told and sum(width[each] + 2 for each in [*blocks[-1], name]) - 2 > fits:
            blocks.append(names[:told])
        blocks[-1].append(name)
    return blocks


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _write(folder: Path, chosen: Experiment, rows: list[Row], document: str) -> None:
    from verify import figure
    from verify.output import write_all

    drawn = [chosen.figure(rows)]
    write_all([(folder / f"{chosen.name}.json", document)])
    for suffix in (".svg", ".png"):
        figure.write(drawn, folder / f"{chosen.name}{suffix}")
