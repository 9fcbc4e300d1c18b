"""``srr sweep``: an experiment over many values of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from verify.usage import Flag, UsageError, Whole, user_input


def sweep(
    file: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
    workers: Whole = 0,
    scheduler: Annotated[str | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Run every cell of a design and keep it; start again to go on where an earlier run ended.

    Parameters
    ----------
    file
        A TOML file: experiment = "phase-diagram"; [fixed] parameters; [grid] lists of values, or [random] samples, seed
        and for each parameter {low, high, log} or {choices}.
    out
        A folder for cells.jsonl, the finished cells, and results.json, results.csv and results.svg, the figure; by
        default named after the file.
    workers
        Processes, with one BLAS thread each; 0 for this one.
    scheduler
        The address of a Dask scheduler, tcp://…, whose workers have srr.
    json
        Print the results as JSON.

    Returns
    -------
    int
        0, or 1 if a cell failed.
    """
    from verify import sweep as sweeping
    from verify import sweep_figure
    from verify.output import require_writable, write_all
    from verify.terminal import page, progress

    with user_input():
        if workers < 0:
            raise UsageError(f"workers must be at least 0, got {workers}")
        design = sweeping.read(file)
        folder = Path(file.stem) if out is None else out
        require_writable(folder, "out", folder=True)
        folder.mkdir(exist_ok=True)
        journal = folder / "cells.jsonl"
        before = sweeping.load(journal)
        executor = sweeping.executor(workers, scheduler)
        at_once = 64 if scheduler else max(1, 2 * workers)
        known = sum(cell.key in before for cell in design.cells)
        try:
            with progress(len(design.cells) - known, design.experiment) as advance:
                for _ in sweeping.run(design, journal, executor, workers=at_once):
                    advance(design.experiment)
        except KeyboardInterrupt:
            done = sum(cell.key in sweeping.load(journal) for cell in design.cells)
            print(f"Ended at {done} of {len(design.cells)} cells; the same command goes on.")
            return 130
    document = sweeping.results(design, journal)
    finished = sweeping.load(journal)
    picture = sweep_figure.drawn(design, finished, ".svg")
    files = [(folder / "results.json", document), (folder / "results.csv", sweeping.table(design, journal))]
    write_all(files + ([] if picture is None else [(folder / "results.svg", picture)]))
    failed = [finished[cell.key] for cell in design.cells if finished[cell.key].error]
    if json:
        print(document, end="")
        return 1 if failed else 0
    with page() as console:
        console.print(f"{len(design.cells)} cells of {design.experiment}: {known} done before, {len(failed)} failed")
        for done in failed[:10]:
            console.print(f"  failed: {done.error}")
        console.print(f"Results: {folder / 'results.json'}, .csv{'' if picture is None else ', .svg'}", soft_wrap=True)
        if picture is None:
            console.print("No figure: the means of what is measured are the same in every cell.")
    return 1 if failed else 0
