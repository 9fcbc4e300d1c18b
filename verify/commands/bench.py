"""``srr bench``: how fast rates, certificates and audits are here, and what implicit compression costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from verify.usage import Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.audit_bench import AuditTiming
    from verify.bench import CertifiedTiming, Timing
    from verify.implicit_bench import Row


def bench(
    what: Literal["rates", "certify", "implicit", "audit"] = "rates",
    /,
    *,
    rounds: Whole = 5,
    samples: Whole = 32,
    json: bool = False,
) -> int:
    """Time the rates against this machine's matrix product and plain torch, or what is built on them.

    Parameters
    ----------
    what
        rates: R, Rc(Z|U), Rc(Z|Pi) and dR, values and gradients. certify: enclosures of R and Rc(Z|U) against the
        plain values. implicit: what the implicit steps take off Rc at each precision, beside explicit steps of the
        same cost. audit: what an audit of a network of 12 layers takes, beside its own forward pass.
    rounds
        Measurements of each; the best counts. An audit is measured once.
    samples
        How many are audited.
    json
        Print the figures as JSON instead of a table.

    Returns
    -------
    int
        0; with certify, 1 where an enclosure takes longer, or is wider, than it is to.
    """
    from dataclasses import asdict
    from json import dumps

    from srr._arrays import count
    from verify import bench as benchmark
    from verify import implicit_bench
    from verify.extras import require
    from verify.terminal import progress
    from verify.usage import user_input

    with user_input():
        count(rounds, "--rounds")
        count(samples, "--samples", 8)
        if what == "audit":
            require("torch", "srr bench audit")
    if what == "audit":
        from verify import audit_bench

        audits = audit_bench.run(samples)
        if json:
            print(dumps([asdict(row) | {"allowed": row.allowed, "ratio": row.ratio} for row in audits], indent=2))
        else:
            _print_audits(audits)
        return 0
    if what == "implicit":
        rows = list(implicit_bench.run(rounds=rounds))
        if json:
            print(dumps([asdict(row) for row in rows], indent=2))
        else:
            _print_implicit(rows)
        return 0
    cases = benchmark.cases() if what == "rates" else benchmark.certified_cases()
    timings = []
    with progress(len(cases), "measuring") as advance:
        for timing in benchmark.run(cases, rounds=rounds):
            timings.append(timing)
            advance("measuring")
    more = ("share", "speedup") if what == "rates" else ("ratio", "met")
    if json:
        print(dumps([asdict(t) | {name: getattr(t, name) for name in more} for t in timings], indent=2))
    else:
        (_print if what == "rates" else _print_certified)(timings)
    return int(what == "certify" and not all(t.met for t in timings))


def _print_certified(timings: Sequence[CertifiedTiming]) -> None:
    from rich.table import Table

    from verify.bench import RADIUS
    from verify.terminal import page

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Rate")
    table.add_column("d, n, K, p, batch")
    for heading in ("eps", "plain ms", "certified", "ratio", "allowed", "radius"):
        table.add_column(heading, justify="right")
    for t in timings:
        c = t.case.case
        size = ", ".join(str(m or "-") for m in (c.d, c.n, c.K, c.p, c.batch))
        times = (f"{t.plain_seconds * 1e3:.1f}", f"{t.seconds * 1e3:.1f}", f"{t.ratio:.2f}", f"{t.case.most:g}")
        table.add_row(c.rate, size, f"{t.case.eps:g}", *times, f"{t.radius:.0e}")
    with page() as console:
        console.print(table)
        console.print(f"\nradius: the largest, relative to the value; it is to be below {RADIUS:g}.")
        for t in timings:
            if not t.met:
                console.print(f"(!) {t.case.case.rate}, eps={t.case.eps:g}: not as fast or as narrow as it is to be")


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
        length, cost, milliseconds = f"{row.length:g}", f"{row.flops / 1e6:.0f}", f"{row.seconds * 1e3:.1f}"
        table.add_row(f"{row.eps:g}", row.step, length, str(row.steps), cost, milliseconds, f"{row.removed:.3%}")
    with page() as console:
        console.print(table)


def _print_audits(timings: Sequence[AuditTiming]) -> None:
    from rich.table import Table

    from verify.audit_bench import FORWARDS, SHARE
    from verify.terminal import page

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Audit")
    for heading in ("samples", "forward ms", "Gflop", "allowed ms", "ms", "ratio", "MiB more"):
        table.add_column(heading, justify="right")
    for t in timings:
        times = (f"{t.forward_seconds * 1e3:.0f}", f"{t.products / 1e9:.1f}", f"{t.allowed * 1e3:.0f}")
        rest = (f"{t.seconds * 1e3:.0f}", f"{t.ratio:.2f}", f"{t.growth:.0f}")
        table.add_row(t.what, str(t.samples), *times, *rest)
    with page() as console:
        console.print(table)
        console.print(
            "\nPer sample of 197 tokens, 12 layers, d = 384; one thread, processor time."
            f"\nGflop: the matrix products that are needed, in float64; allowed: {FORWARDS:g} forward"
            f"\npasses and these at {SHARE:.0%} of the rate of 1024 x 1024 ones, {timings[0].rate / 1e9:.0f} Gflop/s.\n"
            "MiB more: by which peak memory grew from half of the samples to all."
        )
