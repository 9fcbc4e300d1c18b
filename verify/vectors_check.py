"""What another program made of conformance vectors: within the bound, outside it, or missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from verify.bounded import PRECISIONS
from verify.comparison import words
from verify.forms import named
from verify.matching import Example, match
from verify.vector_cases import FORMATS
from verify.vectors import Vector, manifest, open_tensors

__all__ = ["Checked", "Finding", "check"]

TOGETHER = 8
"""Vectors that are compared with the known forms at once."""


@dataclass(frozen=True)
class Finding:
    """One vector: ``"within"``, ``"outside"``, ``"shape"`` or ``"missing"``, and the first entry outside."""

    vector: Vector
    verdict: str
    index: tuple[int, ...] = ()
    got: float = 0.0
    wanted: float = 0.0
    bound: float = 0.0

    def __str__(self) -> str:
        match self.verdict:
            case "outside":
                where = ", ".join(map(str, self.index))
                return f"first at [{where}]: {self.got:.9g}, not {self.wanted:.9g} ± {self.bound:.1g}"
            case "shape":
                return f"must have shape {self.vector.shape}, got {self.index}"
            case "missing":
                return "no result of this name"
        return "within the bound"


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes
    ----------
    findings : tuple of Finding
        One for each vector.
    forms : mapping
        ``"FORM in DTYPE"``, of what has a result outside, to what the results of that form were found to be, in words.
    unknown : tuple of str
        Results under names that no vector has.
    """

    findings: tuple[Finding, ...]
    forms: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether every result is there and within its bound."""
        return all(finding.verdict == "within" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "passes": self.passes,
            "vectors": [
                {"name": f.vector.name, "verdict": f.verdict}
                | ({"says": str(f)} if f.verdict != "within" else {})
                | (
                    {"index": list(f.index), "got": f.got, "wanted": f.wanted, "bound": f.bound}
                    if f.verdict == "outside"
                    else {}
                )
                for f in self.findings
            ],
            "forms": {name: list(lines) for name, lines in self.forms.items()},
            "unknown": list(self.unknown),
        }


def check(folder: Path, results: Path | None = None) -> Checked:
    """Compare results with vectors.

    Parameters
    ----------
    folder : Path
        What `verify.vectors.export` wrote.
    results : Path, optional
        A folder of safetensors files; by default ``results`` in the folder.

    Returns
    -------
    Checked

    Raises
    ------
    ValueError
        A folder or file that is missing, damaged, or not what it should be.
    """
    vectors, sums = manifest(folder)
    given = _results(folder / "results" if results is None else results)
    findings, outside = [], []
    for file in dict.fromkeys(vector.file for vector in vectors):
        tensors, content = open_tensors(folder / file, "a file of vectors")
        if sha256(content).hexdigest() != sums[file]:
            raise ValueError(f"{file} must be as it was exported, got another content: its SHA-256 differs")
        mine = [vector for vector in vectors if vector.file == file]
        found = [_finding(vector, given, tensors) for vector in mine]
        findings += found
        bad = {f.vector.form for f in found if f.verdict == "outside"}
        outside += [(vector, tensors) for vector in mine if vector.form in bad and vector.output in given]
    known = {vector.output for vector in vectors}
    unknown = tuple(name for name in given if name not in known)
    return Checked(tuple(findings), dict(_forms(outside, given)), unknown)


def _results(folder: Path) -> dict[str, np.ndarray]:
    if not folder.is_dir():
        raise ValueError(f"results must be a folder that exists, got {str(folder)!r}")
    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, a in open_tensors(path, "a file of results")[0].items():
            if name in found:
                raise ValueError(f"results must give each tensor once, got {name!r} in {path.name} and before it")
            found[name] = a
    return found


def _finding(vector: Vector, given: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray]) -> Finding:
    wanted, bound = (_tensor(tensors, name, vector) for name in (vector.output, vector.bound))
    if wanted.shape != vector.shape or bound.shape != vector.shape:
        raise ValueError(f"{vector.output} must have shape {vector.shape}, got {wanted.shape}, {bound.shape}")
    if vector.output not in given:
        return Finding(vector, "missing")
    got = given[vector.output]
    if got.shape != vector.shape:
        return Finding(vector, "shape", got.shape)
    with np.errstate(invalid="ignore"):
        off = np.argwhere(~(np.abs(got - wanted) <= bound))
    if not len(off):
        return Finding(vector, "within")
    i = tuple(int(k) for k in off[0])
    return Finding(vector, "outside", i, float(got[i]), float(wanted[i]), float(bound[i]))


def _tensor(tensors: Mapping[str, np.ndarray], name: str, vector: Vector) -> np.ndarray:
    if name not in tensors:
        raise ValueError(f"{vector.file} must have the tensor {name!r}, got {len(tensors)} others")
    return tensors[name]


def _forms(
    outside: list[tuple[Vector, Mapping[str, np.ndarray]]], given: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Of each form and dtype that has a result outside: what its results are, taken together where weights agree."""
    groups: dict[str, list[tuple[Vector, Mapping[str, np.ndarray]]]] = {}
    for vector, tensors in outside:
        groups.setdefault(f"{vector.form} in {vector.dtype}", []).append((vector, tensors))
    for name, group in groups.items():
        first, tensors = min(group, key=lambda pair: np.prod(pair[0].shape))
        alike = [
            (vector, tensors)
            for vector, tensors in group
            if (vector.file, vector.weights, vector.constants) == (first.file, first.weights, first.constants)
            and given[vector.output].shape == vector.shape
            and np.isfinite(given[vector.output]).all()
        ]
        if not alike:
            yield name, ("its results are not finite, or of another shape",)
            continue
        weights = {role: _tensor(tensors, tensor, first) for role, tensor in first.weights.items()}
        examples = [
            Example(tuple(_tensor(tensors, i, vector) for i in vector.inputs), given[vector.output])
            for vector, tensors in alike[:TOGETHER]
        ]
        precision = PRECISIONS[first.dtype] if first.dtype in ("float64", "float32") else FORMATS[first.dtype]
        found = match(
            first.kind, examples, weights, first.constants, wanted=named(first.form).slug, precision=precision
        )
        yield name, words(found)
