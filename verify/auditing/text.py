"""An audit in a terminal: tables of 80 columns, and every verdict in a sentence with its counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from verify.auditing import coding, counterfactuals
from verify.auditing.half import COSINE, LARGEST, STEP
from verify.auditing.result import Audit, HalfFound
from verify.auditing.verdict import Verdict, first, verdicts
from verify.terminal import page


def show(found: Audit) -> None:
    """Print it."""
    from rich.padding import Padding

    with page() as console:
        for line in head(found):
            console.print(line, markup=False)
        for heading, columns, rows in (terms(found), forms(found), direction(found), other(found), weights(found)):
            if rows:
                console.print(f"\n{heading}", style="bold")
                console.print(_table(columns, rows))
        console.print("\nVerdicts", style="bold")
        for place, every in groupby(verdicts(found), lambda v: f"layer {v.layer + 1} {v.half}"):
            main, *others = every
            said = [main.sentence]
            if main.quantity == coding.LASSO:
                said.append(_free_codes(found, main))
            if others:
                also = (f"{v.quantity} {v.way} on {v.shown} ({v.word})" for v in others)
                said.append(f"Also: {', '.join(also)}.")
            console.print(place)
            console.print(Padding(" ".join(said), (0, 0, 0, 2)), markup=False)


def head(found: Audit) -> list[str]:
    """What was audited, in which form the tables are, and on how many samples."""
    n, d = found.shape
    beside = "" if found.twin is None else ", beside the untrained twin"
    controls = "" if found.controlled == found.samples else f"; controls on {found.controlled}"
    certified = f"; {found.certified} certified" if found.certified else ""
    return [
        f"Network  {found.name or 'unnamed'}: {len(found.weights)} layers, {n} tokens of dimension {d}{beside}",
        f"Samples  {found.samples}{controls}{certified}",
        f"Form     {found.main}, lambda={found.forms.lam:g}; means over samples; rates in nats",
    ]


Table = tuple[str, Sequence[str], list[list[str]]]


def terms(found: Audit) -> Table:
    """Every term after every half, and whether what it is there for came about."""
    words = {(v.layer, v.half): v for v in first(found)}
    rows, form = [], found.main
    start = found.halves[0]
    rows.append(["", "start", *_values(start, "before", found), "", "", "", ""])
    for half in found.halves:
        verdict = words.get((half.layer, half.half))
        judged = [""] * 4
        if verdict is not None:
            certified = half.get(verdict.quantity, "certified", form)
            counts = f"{verdict.shown}/{verdict.count}"
            if certified is not None:
                counts += f" ({certified.below if verdict.way == 'fell' else certified.above}c)"
            judged = [verdict.quantity, verdict.way, counts, verdict.word]
        rows.append([str(half.layer + 1), half.half, *_values(half, "after", found), *judged])
    return "Terms", ("", "half", "R", "Rc", "nonzero", "SRR", "judged", "", "samples", "verdict"), rows


def _values(half: HalfFound, what: str, found: Audit) -> list[str]:
    spreads = [half.get(quantity, what, found.main) for quantity in ("R", "Rc", "nonzero", "SRR")]
    return ["" if s is None else number(s.mean) for s in spreads]


def forms(found: Audit) -> Table:
    """On which share of samples Rᶜ fell in the first halves, by the form in which it is measured."""
    main = found.main
    here = [h for h in found.halves if h.half == "compress"]
    measured = dict.fromkeys(form for half in here for form in half.forms("Rc"))
    shown = [form for form in measured if form.eps == main.eps or form[:2] == main[:2]]
    columns = [
        (form.tokens or "") + ("-" if form.cls is False else "") + ("" if form.eps == main.eps else f" {form.eps:g}")
        for form in shown
    ]
    rows = []
    for half in here:
        spreads = [half.get("Rc", "change", form) if form in half.forms("Rc") else None for form in shown]
        official = half.get("official Rc", "change", main)
        cells = ["" if s is None else f"{s.below / s.count:.0%}" for s in (*spreads, official)]
        rows.append([str(half.layer + 1), *cells])
    said = "Rc fell in the first halves, in % of samples, by form (-: without [CLS]; then other eps)"
    return said, ("", *columns, "official"), rows


def direction(found: Audit) -> Table:
    """Where the updates of the first halves point, beside random bases, and how far."""
    rows, form = [], found.main
    for half, twin in found.paired():
        cosine = half.get(COSINE, "value", form)
        if cosine is None:
            continue
        step, top = half.get(STEP, "value", form), half.get(LARGEST, "value", form)
        against = [half.get(COSINE, "value", form, name) for name in ("rotated bases", "shrink")]
        before = None if twin is None else twin.get(COSINE, "value", form)
        spreads = (cosine, *against, before, step, top)
        inside = "" if top is None else "yes" if top.most < 1 else "on some" if top.least < 1 else "no"
        rows.append([str(half.layer + 1), *("" if s is None else number(s.mean) for s in spreads), inside])
    columns = ("", "cosine", "rotated U", "shrink", "untrained", "step L_c/2", "lambda_max", "Neumann")
    return "Updates of the first halves against -grad Rc", columns, rows


def other(found: Audit) -> Table:
    """What other compressions with the same weights do to Rᶜ."""
    names = (*counterfactuals.TIED, *counterfactuals.STEPS)
    rows, form = [], found.main
    for half in found.halves:
        spreads = [half.get("Rc", "change", form, name) for name in ("", *names)]
        if half.half == "compress" and any(s is not None for s in spreads[1:]):
            rows.append([str(half.layer + 1), *("" if s is None else number(s.mean, plus=True) for s in spreads)])
    return "Change of Rc by other first halves with the same weights", ("", "the layer", *names), rows


def weights(found: Audit) -> Table:
    """What theory asks of the weights."""
    names = tuple(dict.fromkeys(name for row in found.weights for name in row))
    short = {"alignment by chance": "by chance", "dictionary": "|D'D-I|", "dictionary norm": "|D|^2"}
    rows = [
        [str(i + 1), *(number(row[name]) if name in row else "" for name in names)]
        for i, row in enumerate(found.weights)
    ]
    return "Weights", ("", *(short.get(name, name) for name in names)), rows


def _free_codes(found: Audit, verdict: Verdict) -> str:
    half = next(h for h in found.halves if (h.layer, h.half) == (verdict.layer, verdict.half))
    relu, zero = (half.get(coding.LASSO, "change", verdict.form, name) for name in (coding.RELU, coding.ZERO))
    residual = half.get(coding.RESIDUAL, "value", verdict.form)
    if relu is None or zero is None or residual is None:
        return ""
    return (
        f"It is below that of relu of the start on {relu.below}, and of no code at all on {zero.below}; "
        f"|X - A D^T| is {number(residual.mean)} of |X|."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for i, column in enumerate(columns):
        words = i == 0 or column in ("half", "judged", "", "verdict", "Neumann")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def number(x: float, *, plus: bool = False) -> str:
    """Three significant digits."""
    if math.isnan(x):
        return "-"
    return f"{x:+.3g}" if plus else f"{x:.3g}"
