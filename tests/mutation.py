"""Runs the tests on every mutant that mutmut has made, and compares the survivors with those that are allowed.

    mutmut run NAME            # makes the mutants, and finds which test reaches which function
    cd mutants && python tests/mutation.py

mutmut starts pytest anew for every mutant, which here takes longer than the tests: this collects once and forks.
Mutants judged before are not judged again; the verdicts are in ``verdicts.json``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ALLOWED = Path("tests/survivors.toml")
VERDICTS = Path("verdicts.json")
SLOW = 0.1
"""Seconds from which a test is left to the second round."""
SELECTION = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]


class Mutations:
    """In place of pytest's loop over the tests, one over the mutants."""

    def __init__(self, children: int) -> None:
        self.children = children
        stats = json.loads(Path("mutmut-stats.json").read_text())
        self.tests, self.seconds = stats["tests_by_mangled_function_name"], stats["duration_by_test"]
        self.killers: dict[str, list[str]] = defaultdict(list)
        """By function, the tests that killed its mutants, the last one first."""
        self.verdicts: dict[str, str] = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """One instance of every test for all mutants, then the other instances for those that survived."""
        items = {item.nodeid: item for item in session.items}
        for rest in (False, True):
            running: dict[int, str] = {}
            for mutant in mutants():
                if self.verdicts.get(mutant) != ("survived one of each" if rest else None):
                    continue
                function = mutant.partition("__mutmut_")[0]
                first, others = self.halves([items[t] for t in self.tests.get(function, []) if t in items])
                chosen = others if rest else [items[t] for t in self.killers[function]] + first
                if not first:
                    self.tell(mutant, "not reached")
                    continue
                while len(running) >= self.children:
                    self.wait(running, rest)
                pid = os.fork()
                if pid == 0:
                    judge(session, mutant, chosen, limit=30 + 10 * sum(self.seconds[t.nodeid] for t in chosen))
                running[pid] = mutant
            while running:
                self.wait(running, rest)
        return True

    def halves(self, items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
        """The fastest instance of every test that is not slow, and the others; the fastest first."""
        items = sorted(items, key=lambda item: self.seconds[item.nodeid])
        first: dict[object, pytest.Item] = {}
        for item in items:
            if self.seconds[item.nodeid] < SLOW or not first:
                first.setdefault((item.path, item.originalname), item)  # type: ignore[attr-defined]
        chosen = {item.nodeid for item in first.values()}
        return list(first.values()), [item for item in items if item.nodeid not in chosen]

    def wait(self, running: dict[int, str], rest: bool) -> None:
        """Take the verdict of the child that ends first."""
        pid, status = os.wait()
        mutant = running.pop(pid)
        killed = os.waitstatus_to_exitcode(status) != 0  # by a test, by a crash or by the time limit
        if killed and killer(pid).exists():
            test, known = killer(pid).read_text(), self.killers[mutant.partition("__mutmut_")[0]]
            known[:] = [test, *(other for other in known if other != test)]
            killer(pid).unlink()
        self.tell(mutant, "killed" if killed else "survived" if rest else "survived one of each")

    def tell(self, mutant: str, verdict: str) -> None:
        self.verdicts[mutant] = verdict
        VERDICTS.with_suffix(".new").write_text(json.dumps(self.verdicts, indent=0))
        VERDICTS.with_suffix(".new").rename(VERDICTS)


def mutants() -> list[str]:
    """Every mutant, module by module."""
    found = []
    for meta in sorted(Path("srr").glob("*.meta")):
        found += json.loads(meta.read_text())["exit_code_by_key"]
    return found


def killer(pid: int) -> Path:
    """Where a process says which test failed."""
    return Path(tempfile.gettempdir()) / f"killed-{pid}"


def judge(session: pytest.Session, mutant: str, items: list[pytest.Item], limit: float) -> None:
    """Run the tests, fastest first, until one fails; never returns."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(limit) + 1)
    os.environ["MUTANT_UNDER_TEST"] = mutant
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                killer(os.getpid()).write_text(item.nodeid)
                os._exit(1)
    except BaseException:
        os._exit(1)
    os._exit(0)


def main() -> int:
    mutations = Mutations(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    options = ["-q", *SELECTION["pytest_add_cli_args"], *SELECTION["pytest_add_cli_args_test_selection"]]
    pytest.main(options, plugins=[mutations])
    allowed = {name for group in tomllib.loads(ALLOWED.read_text()).values() for name in group["mutants"]}
    survivors = {name for name, verdict in mutations.verdicts.items() if verdict != "killed"}
    for name in sorted(survivors - allowed):
        print(f"{mutations.verdicts[name]}: {name}")
    print(f"{len(mutations.verdicts)} mutants, {len(survivors)} not killed, {len(survivors - allowed)} not allowed")
    return 1 if survivors - allowed else 0


if __name__ == "__main__":
    sys.exit(main())
