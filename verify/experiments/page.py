"""The report page of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verify.experiments.experiment import Experiment, Row
from verify.figure import inline
from verify.report.page import template


def render(experiment: Experiment, parameters: Any, rows: Sequence[Row]) -> str:
    """What it asks, answers and measured as one HTML text; only its links to the files beside it lead out of it."""
    figure = experiment.figure(rows)
    given = asdict(parameters)
    default = asdict(experiment.parameters())
    changed = {name: value for name, value in given.items() if value != default[name]}
    return template("experiment.html", Path(__file__).parent).render(
        experiment=experiment,
        verdict=experiment.verdict(rows),
        figure=figure,
        drawing=inline(figure, "figure"),
        words=[name for name in experiment.columns if isinstance(rows[0][name], str)],
        rows=[{name: short(value) for name, value in row.items()} for row in rows],
        parameters=given,
        command=" ".join([f"srr experiment {experiment.name}", *(["--set"] if changed else []), *_settings(changed)]),
    )


def short(value: Any) -> str:
    """A value in a table: three digits of a number, and yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _settings(changed: dict[str, Any]) -> list[str]:
    return [f"'{name}={_toml(value)}'" for name, value in changed.items()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple | list) else str(value)
