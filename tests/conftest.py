"""Hypothesis profiles, one BLAS thread, and no test that is skipped unnoticed."""

import os

# Before NumPy is first imported: small factorisations are many times slower with several threads.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import backends
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Drawing a matrix costs more than drawing a number; the time limit is the suite's, not the example's.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, database=None, max_examples=50, **_common)
settings.register_profile(  # fails at the first counterexample: no time is spent on a smaller one
    "mutation",
    derandomize=True,
    database=None,
    max_examples=50,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    **_common,
)
settings.register_profile(
    "explore",  # pytest --hypothesis-profile explore: new instances each run, failures remembered
    max_examples=2000,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    **_common,
)
settings.load_profile("ci")


def pytest_report_header():
    return [f"not run: {b.name} ({b.missing})" for b in backends.ALL if b.missing]


def _forbid_skip(report, may_be_missing):
    if report.skipped and not may_be_missing and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"unexpected skip: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _forbid_skip((yield), any(item.get_closest_marker(name) for name in ("gpu", "latex", "browser")))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _forbid_skip((yield), False)
