"""``srr bench``: how fast the rates are on this machine, and what implicit compression costs and takes off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from verify.usage import Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.bench import Timing
    from verify.implicit_bench import Row


def bench(what: Literal["rates", "implicit"] = "rates", /, *, rounds: Whole = 5, json: bool = False) -> int:
    """Time the rates against this machine's matrix product and plain torch, or implicit against explicit compression.

    Parameters
    ----------
    what
        rates: R, Rc(Z|U), Rc(Z|Pi) and dR, values and gradients. implicit: what the implicit steps take off Rc
        at each precision, beside explicit steps of the same cost.
    rounds
        Measurements of each; the best counts.
    json
        Print the figures as JSON instead of a table.

    Returns
    -------
    int
        0.
    """
    from dataclasses import asdict
    from json import dumps

    from srr._arrays import count
    from verify import bench as benchmark
    from verify import implicit_bench
    from verify.terminal import progress
    from verify.usage import user_input

    with user_input():
        count(rounds, "--rounds")
    if what == "implicit":
        rows = list(implicit_bench.run(rounds=rounds))
        if json:
            print(dumps([asdict(row) for row in rows], indent=2))
        else:
            _print_implicit(rows)
        return 0
    cases = benchmark.cases()
    timings = []
    with progress(len(cases), "measuring") as advance:
        for timing in benchmark.run(cases, rounds=rounds):
            timings.append(timing)
            advance("measuring")
    if json:
        print(dumps([asdict(t) | {"share": t.share, "speedup": t.speedup} for t in timings], indent=2))
    else:
        _print(timings)
    return 0


def _print(timings: Sequence[Timing]) -> None:
    from rich.table import Table

    from verify.terminal import page

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Rate")
    table.add_column("d, n, K, p, batch")
    table.add_column("dtype")
    table.add_column("of what")
    for heading in ("ms", "of limit", "vs torch"):
        table.add_column(heading, justify="right")
    for t in timings:
        c = t.case
        size = ", ".join(map(str, (c.d, c.n, c.K, c.p or "-", c.batch)))
        ratio = "-" if t.speedup is None else f"{t.speedup:.1f} x"
        what = "gradient" if c.gradient else "value"
        table.add_row(c.rate, size, c.dtype, what, f"{t.seconds * 1e3:.1f}", f"{t.share:.0%}", ratio)
    with page() as console:
        console.print(table)
        console.print(
            "\nlimit: the flops that are needed, at the rate of a 1024 x 1024 matrix product of\n"
            "the same run; gradient: value and gradient together; torch: as people write it."
        )


def _print_implicit(rows: Sequence[Row]) -> None:
    from rich.table import Table

    from verify.terminal import page

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("eps")
    table.add_column("step")
    for heading in ("kappa L_c", "steps", "Mflop", "ms", "off Rc"):
        table.add_column(heading, justify="right")
    for row in rows:
        flops = "-" if row.flops is None else f"{row.flops / 1e6:.0f}"
        steps = (f"{row.length:g}", str(row.steps), flops, f"{row.seconds * 1e3:.1f}", f"{row.removed:.3%}")
        table.add_row(f"{row.eps:g}", row.step, *steps)
    with page() as console:
        console.print(table)
