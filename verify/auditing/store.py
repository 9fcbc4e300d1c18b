"""The state of an audit that is not finished, in a file: arrays and JSON, nothing that could be executed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from verify.auditing.running import Key, Running, _Stack
from verify.output import write_all

SECONDS = 30.0
"""Between two writings of the state."""


@dataclass(eq=False)
class State:
    """A file, and the digest of settings and weights of the audit that it is of."""

    path: Path
    identity: str
    written: float = field(default_factory=time.monotonic)

    def load(self, subjects: int) -> tuple[int, list[list[list[Running]] | None]]:
        """How many samples are done, and what they gave; zero and nothing if there is no file.

        Raises
        ------
        ValueError
            The file cannot be read, or is of another audit.
        """
        if not self.path.exists():
            return 0, [None] * subjects
        try:
            with self.path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            index = json.loads(str(arrays["index"]))
        except Exception as error:  # NumPy and zipfile have many ways to refuse a broken file
            raise ValueError(f"resume must be a whole file that an audit left, got {self.path}") from error
        if index["identity"] != self.identity:
            raise ValueError(f"resume must be of the same network, data and settings, got {self.path} of another audit")
        return index["done"], [
            [[_running(groups, arrays) for groups in runnings] for runnings in halves] for halves in index["subjects"]
        ]

    def save(self, done: int, subjects: list[list[list[Running]]]) -> None:
        """Write the file, whole or not at all, if the last time was long enough ago."""
        if time.monotonic() - self.written < SECONDS:
            return
        arrays: dict[str, np.ndarray] = {}
        index = {
            "identity": self.identity,
            "done": done,
            "subjects": [[[_written(r, arrays) for r in runnings] for runnings in halves] for halves in subjects],
        }
        content = BytesIO()
        np.savez(content, index=np.array(json.dumps(index)), **arrays)
        write_all([(self.path, content.getvalue())])
        self.written = time.monotonic()


def _written(running: Running, arrays: dict[str, np.ndarray]) -> list[dict]:
    rows = []
    for stack in running.groups.values():
        name = f"a{len(arrays)}"
        fields = (stack.mean, stack.squares, stack.least, stack.most, stack.below.double(), stack.above.double())
        arrays[name] = torch.stack(fields).numpy()
        rows.append({"keys": stack.keys, "count": stack.count, "array": name})
    return rows


def _running(rows: list[dict], arrays: dict[str, np.ndarray]) -> Running:
    groups = {}
    for row in rows:
        mean, squares, least, most, below, above = torch.from_numpy(arrays[row["array"]])
        keys = tuple(Key(*key) for key in row["keys"])
        stack = _Stack(keys, row["count"], mean, squares, least, most, below.long(), above.long())
        groups[tuple(mean.shape[1:])] = stack
    return Running(groups)
