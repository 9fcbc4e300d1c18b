"""``srr verify``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from verify.usage import Flag, Patterns, Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.ledger import Claim, Ledger
    from verify.results import Settings


def verify(
    *,
    tier: Literal["quick", "full"] = "quick",
    select: Patterns = (),
    seed: Whole = 0,
    arrays: Literal["numpy", "cupy", "torch", "jax"] = "numpy",
    dtype: Literal["float64", "float32"] = "float64",
    device: str | None = None,
    jobs: Whole | None = None,
    timeout: float | None = None,
    out: Path = Path("srr-report"),
    json: Flag = False,
    junit: Path | None = None,
    sabotage: Flag = False,
) -> int:
    """Judge the claims of the ledger; write the report and results.json.

    Parameters
    ----------
    tier
        quick, or full with 20 times as many instances of each claim (with jax, a tenth in both).
    select
        Only these claims: names, themes or patterns, as in `rates compression.exact-*`.
    seed
        The instances are drawn under it; equal seeds give equal results.
    arrays
        The array library that the claims compute with.
    dtype
        The dtype they compute in.
    device
        The device they compute on, in the library's words: cpu, cuda:0.
    jobs
        Processes; by default one for each core this process may use, or a single one on a GPU.
    timeout
        Seconds that one claim may take; 120 with NumPy, 1200 with others, 30 times that in the full tier.
    out
        Folder for index.html and results.json, or sabotage.jsonl; made if it is missing, but not the one it is in.
    json
        Print the results as JSON instead of a table.
    junit
        Also write the results as JUnit XML, to this file.
    sabotage
        Instead, put wrong versions in the place of every public function of srr, one at a time, and see whether a
        claim notices; interrupted, it goes on where it was, from the sabotage.jsonl in --out.

    Returns
    -------
    int
        0 when every verdict is the expected one, 1 otherwise; of a sabotage, 0 when each is detected that a claim of
        --select could notice.
    """
    from verify import results, runner
    from verify.arrays import Arrays
    from verify.claims import ledger as load
    from verify.commands import _table
    from verify.output import require_writable, write_all
    from verify.report import render
    from verify.report.pages import together
    from verify.terminal import progress
    from verify.usage import UsageError, user_input

    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be >= 1, got {jobs}")
    if timeout is not None and not 0 < timeout < float("inf"):
        raise UsageError(f"timeout must be > 0 and finite, got {timeout}")
    ledger = load()
    with user_input():
        settings = results.Settings(tier=tier, seed=seed, arrays=Arrays(arrays, dtype, device))
        claims = ledger.select(select) if select else ledger.claims
        require_writable(out, "out", folder=True)
        if sabotage:
            settings.arrays.probe()
            return _sabotage(ledger, claims, settings, jobs or default_jobs(arrays, device), timeout, out, json)
        if junit is not None and (out.is_dir() or junit.parent != out):  # out, if missing, will be made
            require_writable(junit, "junit")
        settings.arrays.probe()

    jobs = jobs or default_jobs(arrays, device)
    seconds: dict[str, float] = {}
    with progress(len(claims), "starting") as advance:

        def on_done(result: results.Result, took: float) -> None:
            seconds[result.slug] = took
            advance(f"{result.verdict} {result.slug}")

        run = runner.run(
            ledger,
            settings,
            claims=claims,
            jobs=jobs,
            timeout=timeout,
            on_done=on_done,
        )
    files: list[tuple[Path, str | bytes]] = [
        (out / "results.json", results.to_json(run)),
        *together(out, {"index.html": render(ledger, run, jobs=jobs)}),
    ]
    if junit is not None:
        files.append((junit, results.to_junit(run, seconds)))
    with user_input():
        write_all(files)
    if json:
        print(results.to_json(run), end="")
    else:
        _table.print_run(ledger, run, out)
    return 0 if run.as_expected else 1


def _sabotage(
    ledger: Ledger,
    claims: Sequence[Claim],
    settings: Settings,
    jobs: int,
    timeout: float | None,
    out: Path,
    json: bool,
) -> int:
    from verify import sabotage
    from verify.commands import _sabotage_table
    from verify.terminal import progress

    chosen = sabotage.sabotages()
    with progress(len(claims) + len(chosen), "starting") as advance:
        found = sabotage.run(
            ledger,
            settings,
            claims=claims,
            chosen=chosen,
            jobs=jobs,
            timeout=600.0 if timeout is None else timeout,
            keep=out / "sabotage.jsonl",
            on_done=advance,
        )
    if json:
        print(_sabotage_table.to_json(found), end="")
    else:
        _sabotage_table.show(found)
    missed = {"undetected"} if len(claims) < len(ledger) else {"undetected", "not called"}
    return int(any(finding.outcome in missed for finding in found))


def default_jobs(library: str, device: str | None) -> int:
    """One process for each core that this one may run on; a single one where a GPU does the work."""
    import os

    if library == "cupy" or not (device or "cpu").startswith("cpu"):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
