"""The numbers of an experiment as JSON: the same bytes for the same parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from verify.experiments.experiment import Experiment, Row

SCHEMA = 1


def to_json(experiment: Experiment, parameters: Any, rows: Sequence[Row]) -> str:
    """Everything that was put in and came out."""
    document = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "question": experiment.question,
        "source": experiment.source,
        "parameters": asdict(parameters),
        "rows": list(rows),
        "verdict": experiment.verdict(rows),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
