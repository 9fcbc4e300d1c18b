"""Runs the tests on every mutant that mutmut has made, and compares the survivors with those that are allowed.

    mutmut run NAME            # makes the mutants, and finds which test reaches which function
    cd mutants && python tests/mutation.py [CHILDREN [PATTERN]]

mutmut starts pytest anew for every mutant, which here takes longer than the tests: this collects once and forks. In
the first round a mutant meets the tests that have killed others of its function, and one quick instance of every test;
in the second all other instances, unless it is allowed to survive. A killed mutant is not judged again while its
function and the test that killed it stay: the verdicts are in ``verdicts.jsonl``, and without that file a run starts
afresh.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

GROUPS = tomllib.loads(Path("tests/survivors.toml").read_text())
ALLOWED = [pattern for group in GROUPS.values() for pattern in group["mutants"]]
"""Names of mutants, or patterns of names."""
SELECTION = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
VERDICTS = Path("verdicts.jsonl")
SLOW = 1 / 5000
"""Share of the time of all tests from which an instance is left to the second round."""
CRASHED = "a crash or the time limit"
UNREACHED, SO_FAR, SURVIVED = ALIVE = "not reached", "survived the first round", "survived"


class Mutations:
    """In place of pytest's loop over the tests, one over the mutants."""

    def __init__(self, children: str = "1", pattern: str = "*") -> None:
        self.children = int(children)
        stats = json.loads(Path("mutmut-stats.json").read_text())
        self.reaching, self.seconds = stats["tests_by_mangled_function_name"], stats["duration_by_test"]
        self.slow = SLOW * sum(self.seconds.values())
        self.breadth = Counter(test for tests in self.reaching.values() for test in tests)
        """By test, the functions it reaches."""
        self.killers: dict[str, Counter[str]] = defaultdict(Counter)
        """By function, the tests that killed its mutants, and how many."""
        self.mutants = mutants(pattern)
        self.verdicts: dict[str, str] = {}
        self.sound = False
        """Whether all tests that killed a mutant pass without one."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        for line in VERDICTS.read_text().splitlines() if VERDICTS.exists() else ():
            mutant, version, verdict = json.loads(line)
            if self.mutants.get(mutant) == version and (verdict in self.items or verdict == CRASHED):
                self.note(mutant, verdict)
        gc.collect()
        gc.freeze()  # else every child would copy what its first collection visits
        for rest in (False, True):
            running: dict[int, str] = {}
            for mutant in self.mutants:
                if self.verdicts.get(mutant) != (SO_FAR if rest else None):
                    continue
                while len(running) >= self.children:
                    self.wait(running, rest)
                first, others = self.halves(function(mutant))
                if not first:
                    self.tell(mutant, UNREACHED)
                    continue
                chosen = dict.fromkeys([*self.ordered_killers(function(mutant)), *(others if rest else first)])
                running[self.start(session, mutant, list(chosen))] = mutant
            while running:
                self.wait(running, rest)
        killers = {test for tests in self.killers.values() for test in tests}
        _, status = os.waitpid(self.start(session, "none", [self.items[test] for test in sorted(killers)]), 0)
        self.sound = status == 0
        return True

    @cache  # noqa: B019 - one object, for the whole run
    def halves(self, function: str) -> tuple[list[pytest.Item], list[pytest.Item]]:
        """One quick instance of every test, for every function by ``name`` or way to be bad, and the others; those that
        reach few functions come first."""
        first, others = {}, []
        for item in sorted((self.items[t] for t in self.reaching.get(function, ()) if t in self.items), key=self.cost):
            params = getattr(getattr(item, "callspec", None), "params", {})
            key = item.path, item.originalname, getattr(params.get("bad"), "label", params.get("name"))
            if key in first or (first and self.cost(item) > self.slow):
                others.append(item)
            else:
                first[key] = item
        return self.narrow_first(first.values()), self.narrow_first(others)

    def narrow_first(self, items: Iterable[pytest.Item]) -> list[pytest.Item]:
        return sorted(items, key=lambda item: self.breadth[item.nodeid])

    def ordered_killers(self, function: str) -> list[pytest.Item]:
        """Those that kill most in a second first."""
        kills = self.killers[function]
        return sorted((self.items[test] for test in kills), key=lambda item: self.cost(item) / kills[item.nodeid])

    def cost(self, item: pytest.Item) -> float:
        """Seconds, of which pytest itself takes one in a thousand."""
        return 0.001 + self.seconds[item.nodeid]

    def start(self, session: pytest.Session, mutant: str, items: list[pytest.Item]) -> int:
        """A process that runs the tests until one fails."""
        pid = os.fork()
        if pid == 0:
            judge(session, mutant, items, self.seconds)
        return pid

    def wait(self, running: dict[int, str], rest: bool) -> None:
        """Take the verdict of the child that ends first."""
        pid, status = os.wait()
        mutant = running.pop(pid)
        if os.waitstatus_to_exitcode(status) == 0:
            self.tell(mutant, SURVIVED if rest or is_allowed(mutant) else SO_FAR)
        elif killer(pid).exists():
            self.tell(mutant, killer(pid).read_text())
            killer(pid).unlink()
        else:
            self.tell(mutant, CRASHED)

    def tell(self, mutant: str, verdict: str) -> None:
        self.note(mutant, verdict)
        with VERDICTS.open("a") as file:
            print(json.dumps([mutant, self.mutants[mutant], verdict]), file=file)
        if verdict in ALIVE and not is_allowed(mutant):
            done = f"{len(self.verdicts)}/{len(self.mutants)}"
            print(f"{time.strftime('%H:%M:%S')} {done} {verdict}: {mutant}", flush=True)

    def note(self, mutant: str, verdict: str) -> None:
        self.verdicts[mutant] = verdict
        if verdict in self.items:
            self.killers[function(mutant)][verdict] += 1


def mutants(pattern: str) -> dict[str, str]:
    """Every mutant of that name, module by module, and the version of its function."""
    found = {}
    for path in sorted(Path().glob("*/*.meta")):
        meta = json.loads(path.read_text())
        for mutant in meta["exit_code_by_key"]:
            if fnmatchcase(mutant, pattern):
                found[mutant] = meta["hash_by_function_name"][function(mutant).rpartition(".")[2]]
    return found


def function(mutant: str) -> str:
    return mutant.partition("__mutmut_")[0]


def is_allowed(mutant: str) -> bool:
    return any(fnmatchcase(mutant, pattern) for pattern in ALLOWED)


def killer(pid: int) -> Path:
    """Where a process says which test failed."""
    return Path(tempfile.gettempdir()) / f"killed-{pid}"


def judge(session: pytest.Session, mutant: str, items: list[pytest.Item], seconds: dict[str, float]) -> None:
    """Run the tests until one fails; never returns."""
    os.environ["MUTANT_UNDER_TEST"] = mutant
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_PROF, 5 + 10 * seconds[item.nodeid])  # of process time; its signal kills
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                killer(os.getpid()).write_text(item.nodeid)
                os._exit(1)
    except BaseException:
        os._exit(1)
    os._exit(0)


def main() -> int:
    mutations = Mutations(*sys.argv[1:])
    options = ["-q", "-s", *SELECTION["pytest_add_cli_args"], *SELECTION["pytest_add_cli_args_test_selection"]]
    pytest.main(options, plugins=[mutations])
    alive = [mutant for mutant, verdict in mutations.verdicts.items() if verdict in ALIVE]
    unseen = [mutant for mutant in alive if not is_allowed(mutant)]
    judged = len(mutations.verdicts) == len(mutations.mutants)
    complete = mutations.mutants == mutants("*")
    stale = [pattern for pattern in ALLOWED if complete and not any(fnmatchcase(mutant, pattern) for mutant in alive)]
    for mutant in unseen:
        print(f"{mutations.verdicts[mutant]}: {mutant}")
    for pattern in stale:
        print(f"allowed, but no survivor: {pattern}")
    if not mutations.sound:
        print("a test that killed a mutant fails without one")
    print(f"{len(mutations.verdicts)} mutants, {len(alive)} not killed, {len(unseen)} of them not allowed")
    return 0 if judged and mutations.sound and not unseen and not stale else 1


if __name__ == "__main__":
    sys.exit(main())
