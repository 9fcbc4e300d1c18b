"""Claims in a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from verify.arrays import Arrays
from verify.case import StaleWitness
from verify.commands._table import STYLE
from verify.ledger import REFUTED, Claim, by_origin
from verify.notation import NOTATION
from verify.results import Run, Settings, from_json, plain
from verify.terminal import page
from verify.usage import UsageError, user_input
from verify.witness import Trial
from verify.witness import replay as judge_again

if TYPE_CHECKING:
    from derivations.proof import Derivation

BEHIND = "derivations behind it, which do not prove it"
VERBATIM = ("statement", "check", "proved by", BEHIND)
"""Formulas and paths, which are copied: no breaks in them."""


def describe(claim: Claim) -> dict[str, Any]:
    """A claim as plain data."""
    return {
        "slug": claim.slug,
        "title": claim.title,
        "statement": claim.statement,
        "relation": claim.relation,
        "hypotheses": claim.hypotheses,
        "source": claim.source,
        "asked_here": claim.asked_here,
        "expected": str(claim.expect),
        "twin": claim.twin,
        "uses": [*claim.uses],
        "proof": [*claim.proof],
        "proved": _stated(claim.proof),
        "derivations": _stated(claim.derivations),
        "without_proof": _premises(claim),
        "instances": claim.instances,
        "witness": plain(claim.witness),
        "note": claim.note,
        "code": f"{claim.file}:{claim.line}",
    }


def _derivations(names: Sequence[str]) -> list[Derivation]:
    if not names:
        return []
    from derivations import catalogue

    return [catalogue()[name] for name in names]


def _stated(names: Sequence[str]) -> list[dict[str, str]]:
    """What derivations prove, to be read beside the statement of a claim."""
    from derivations.plain import statement

    return [
        {"name": d.name, "statement": statement(d), "hypotheses": "; ".join(d.hypotheses)} for d in _derivations(names)
    ]


def _premises(claim: Claim) -> list[str]:
    """Facts from outside on which its proof rests."""
    from derivations.plain import premises

    return premises(_derivations(claim.proof))


def _written_out(names: Sequence[str]) -> str:
    return "\n".join(f"{d['name']}\n    {d['statement']}\n    {d['hypotheses']}" for d in _stated(names))


def last_run(claim: Claim, results: Path) -> dict[str, Any] | None:
    """What the run in ``results`` found; None where there is no such file, or it did not judge this claim."""
    if not results.is_file():
        return None
    run = _read(results)
    found = next((r for r in run.results if r.slug == claim.slug), None)
    if found is None:
        return None
    return plain(
        {
            "verdict": found.verdict,
            "evidence": found.evidence,
            "message": found.message,
            "tier": run.settings.tier,
            "seed": run.settings.seed,
            "arrays": f"{run.settings.arrays.library} {run.settings.arrays.dtype}",
            "results": str(results),
        }
    )


def _read(results: Path) -> Run:
    with user_input():
        return from_json(results.read_text(encoding="utf-8"))


def to_json(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def print_list(claims: Sequence[Claim]) -> None:
    """By theme: the name, the verdict the ledger stands by, the title."""
    with page() as console:
        for theme, group in groupby(claims, key=lambda c: c.theme):
            console.print(Text(theme, "bold"))
            for claim in group:
                line = Text.assemble("  ", claim.slug, "  ", (claim.expect, STYLE[claim.expect]))
                console.print(line, soft_wrap=True)
                console.print(Padding(Text(claim.title, "dim"), (0, 0, 0, 6), expand=False))
        false = [claim for claim in claims if claim.expect == REFUTED]
        console.print(f"\n{len(claims)} claims, {len(false)} refuted: {by_origin(false)}.")
        console.print("`srr show CLAIM` shows one in full.")


def print_claim(claim: Claim, results: Path) -> None:
    """Everything that the ledger says of a claim, and what its last run found."""
    twin = "the twin, true, must hold" if claim.expect == REFUTED else "the twin, wrong, must be refuted"
    with page() as console:
        console.print(Text(claim.slug, "bold"), soft_wrap=True)
        console.print(Text(claim.title))
        console.print()
        for name, text in (
            ("statement", claim.statement),
            ("relation", claim.relation),
            ("hypotheses", claim.hypotheses),
            ("source", claim.source),
            ("expected", claim.expect),
            ("found in the last run", _found(last_run(claim, results))),
            (twin, claim.twin),
            ("rests on", ", ".join(claim.uses)),
            ("proved by", _written_out(claim.proof)),
            ("used without proof", "\n".join(_premises(claim))),
            (BEHIND, _written_out(claim.derivations)),
            ("counterexample", _parameters(claim.witness) if claim.witness else ""),
            ("check", f"{claim.file}:{claim.line}"),
        ):
            if text:
                console.print(Text(name, "dim"))
                if name in VERBATIM:
                    console.print(Text(indent(text, "    ")), soft_wrap=True)
                else:
                    console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))
        for paragraph in claim.paragraphs:
            console.print()
            console.print(Text(paragraph))
        console.print()
        if claim.witness:
            console.print(f"Replay the counterexample: srr show {claim.slug} --replay", soft_wrap=True)
        for name in claim.proof:
            console.print(f"Read its proof: srr derive {name}", soft_wrap=True)
        for name in claim.derivations:
            console.print(f"Read what stands behind it: srr derive {name}", soft_wrap=True)
        console.print("Letters, words and sources: srr show notation")


def _found(last: Mapping[str, Any] | None) -> str:
    if last is None:
        return ""
    said = ", ".join(last[key] for key in ("verdict", "evidence", "message") if last[key])
    return f"{said} ({last['tier']} tier, seed {last['seed']}, {last['arrays']}: {last['results']})"


def print_notation(*, json: bool) -> None:
    """What letters, words and citations mean."""
    if json:
        print(to_json(NOTATION), end="")
        return
    with page() as console:
        for heading, entries in NOTATION.items():
            table = Table(heading, "", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
            table.columns[0].max_width = 18
            for word, meaning in entries.items():
                table.add_row(Text(word), Text(meaning))
            console.print(table)
            console.print()


def draw(claim: Claim, path: Path) -> None:
    """Judge a claim and write the figures that come of it."""
    from verify.examine import examine
    from verify.figure import require_figure, write

    with user_input():
        require_figure(path)
    found = examine(claim, Settings())
    if not found.figures:
        raise UsageError(f"CLAIM must have a figure, got {claim.slug}, which came out {found.verdict} and has none")
    with user_input():
        write(found.figures, path)


def replay(claim: Claim, results: Path, *, json: bool) -> int:
    """Judge the counterexample of a claim again, and say what the check said; 0 if it refutes, 1 if not."""
    params, arrays, origin = _recorded(claim, results)
    with user_input():
        arrays.probe()
    try:
        trial = judge_again(claim, params, arrays)
    except StaleWitness as error:
        raise UsageError(f"the counterexample of {claim.slug} in {origin} no longer fits its check: {error}") from error
    if json:
        print(to_json({"slug": claim.slug, "origin": origin, **_outcome(trial)}), end="")
    else:
        _print_trial(claim, trial, arrays, origin)
    return 0 if trial.failed else 1


def _recorded(claim: Claim, results: Path) -> tuple[Mapping[str, Any], Arrays, str]:
    if claim.witness is not None:
        return claim.witness, Arrays(), "the ledger"
    if not results.is_file():
        raise UsageError(
            f"results must be a file that `srr verify` wrote, got {results}, where there is none; "
            f"run `srr verify --select {claim.slug}` first"
        )
    run = _read(results)
    witness = next((r.witness for r in run.results if r.slug == claim.slug), None)
    if witness is None:
        raise UsageError(f"results must hold a counterexample to {claim.slug}, got {results}, which holds none")
    return witness.params, run.settings.arrays, str(results)


def _outcome(trial: Trial) -> dict[str, Any]:
    where = trial.where
    return plain(
        {
            "params": trial.params,
            "holds": trial.outcome.holds,
            "certified": trial.outcome.certified,
            "ratio": trial.outcome.ratio,
            "condition": where and asdict(where),
            "data": trial.outcome.data,
        }
    )


def _print_trial(claim: Claim, trial: Trial, arrays: Arrays, origin: str) -> None:
    told = {True: "the claim holds on it", False: "it refutes the claim", None: "undecided"}[trial.outcome.holds]
    by = "certified" if trial.outcome.certified else "in floating point"
    with page() as console:
        console.print(Text(claim.slug, "bold"), soft_wrap=True)
        console.print(f"The counterexample of {origin}, on {arrays.library} {arrays.dtype}: {told}, {by}.")
        for name, value in trial.params.items():
            console.print(f"  {name} = {value}", markup=False, soft_wrap=True)
        if trial.where is not None:
            side = "inside" if trial.where.inside else "outside"
            console.print(f"{side} the condition {trial.where.name} < {trial.where.bound:g}: {trial.where.value:g}")
        if trial.outcome.ratio is not None:
            console.print(f"{trial.outcome.ratio:.3g} times the rounding error allowed")
        for name, value in plain(trial.outcome.data).items():
            console.print(f"  {name}: {value}", markup=False, soft_wrap=True)


def _parameters(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in params.items())
