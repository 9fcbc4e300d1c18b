"""Processes: whatever one check does to its own, the others get their verdicts."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest

from verify.arrays import Arrays
from verify.ledger import ERROR, HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, Ledger
from verify.results import Settings
from verify.runner import default_timeout, run
from verify.workers import run_jobs

LEDGER = Ledger.load("faulty_claims")
WELL = ("true", "rounded", "false", "conditional", "undecided", "picky")


def select(*names):
    return LEDGER.select(f"faulty.{name}" for name in names)


@pytest.fixture(scope="module")
def mishaps():
    names = ("true", "raises", "hangs", "rejects", "dies", "lenient", "false", "conditional", "undecided")
    seen = []
    started = time.monotonic()
    found = run(
        LEDGER,
        Settings(),
        claims=select(*names),
        jobs=2,
        timeout=12,
        on_done=lambda r, s: seen.append((r, s)),
    )
    return found, seen, time.monotonic() - started


def test_what_one_check_does_costs_no_other_its_verdict(mishaps):
    run, _, _ = mishaps
    assert {r.slug.removeprefix("faulty."): r.verdict for r in run.results} == {
        "true": HOLDS,
        "false": REFUTED,
        "conditional": HOLDS_UNDER,
        "undecided": UNDECIDED,
        "raises": ERROR,
        "rejects": ERROR,
        "lenient": ERROR,
        "hangs": ERROR,
        "dies": ERROR,
    }
    assert not run.as_expected


def test_each_error_says_what_happened(mishaps):
    run, _, _ = mishaps
    assert "ZeroDivisionError" in run["faulty.raises"].message
    assert run["faulty.hangs"].message == "stopped after 12 s"
    assert run["faulty.dies"].message == "the process died (exit code 3)"
    assert "rejected all" in run["faulty.rejects"].message
    assert "twin" in run["faulty.lenient"].message


def test_results_come_as_they_are_done_and_end_in_the_order_of_the_ledger(mishaps):
    run, seen, _ = mishaps
    assert sorted(r.slug for r, _ in seen) == sorted(r.slug for r in run.results)
    assert [r.slug for r in run.results] == [c.slug for c in LEDGER if c.slug in {r.slug for r in run.results}]
    assert all(seconds > 0 for _, seconds in seen)
    assert seen[-1][0].slug == "faulty.hangs"


def test_what_hangs_is_stopped_in_time(mishaps):
    _, _, seconds = mishaps
    assert 12 <= seconds < 60


def test_results_do_not_depend_on_the_number_of_processes():
    claims = select(*WELL)
    one, three = (run(LEDGER, Settings(seed=5), claims=claims, jobs=jobs) for jobs in (1, 3))
    assert one == three
    assert one.as_expected
    assert run(LEDGER, Settings(seed=6), claims=claims, jobs=2).results != one.results


def test_a_claim_alone_gets_what_it_gets_among_others():
    together = run(LEDGER, Settings(), claims=select(*WELL), jobs=1)
    alone = run(LEDGER, Settings(), claims=select("false"), jobs=1)
    assert alone["faulty.false"] == together["faulty.false"]


def test_a_ledger_without_claims_runs():
    assert run(LEDGER, Settings(), claims=()).results == ()


def threads(name, _):
    return os.environ.get(name)


def test_processes_have_one_blas_thread_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        (done,) = run_jobs(threads, (name,), [0], workers=1, timeout=60)
        assert done.value == "1"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def square(offset, x):
    if x == 2:
        raise ValueError("not two")
    return x * x + offset


def test_a_job_that_raises_is_told_and_its_process_goes_on():
    done = {d.job: d for d in run_jobs(square, (1,), [1, 2, 3], workers=1, timeout=60)}
    assert (done[1].value, done[3].value) == (2, 10)
    assert done[2].value is None
    assert done[2].problem == "ValueError: not two"
    assert done[1].problem is None


def test_no_process_outlives_an_interruption():
    # The iterator is dropped while a job sleeps, as Ctrl-C drops it.
    jobs = run_jobs(pid_or_sleep, (), [0, 1], workers=2, timeout=600)
    first = next(jobs)
    jobs.close()
    assert first.value > 0
    with pytest.raises(ProcessLookupError):
        os.kill(first.value, 0)


def pid_or_sleep(job):
    if job:
        time.sleep(600)
    return os.getpid()


def test_other_libraries_get_more_time():
    assert default_timeout(Settings()) == 120
    assert default_timeout(Settings("full")) == 3600
    assert default_timeout(Settings(arrays=Arrays("torch"))) == 1200


def test_what_jax_compiled_for_a_claim_goes_with_it():
    import jax

    from verify.runner import judge_by_name

    compiled = jax.jit(lambda x: x + 1)
    for library, kept in (("numpy", 1), ("jax", 0)):
        compiled(1.0)
        judge_by_name(LEDGER.modules, Settings(arrays=Arrays(library)), "faulty.true")
        assert compiled._cache_size() == kept


def test_the_versions_of_a_run_are_kept():
    import numpy

    found = run(LEDGER, Settings(), claims=())
    assert found.versions["numpy"] == numpy.__version__
    assert dataclasses.replace(found, versions={}) != found


def test_importing_the_ledger_is_light():
    code = (
        "import sys, verify.claims, verify.runner; "
        "heavy = ('torch', 'jax', 'matplotlib', 'sympy', 'hypothesis', 'jinja2'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
