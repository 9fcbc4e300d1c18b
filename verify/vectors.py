"""Conformance vectors: inputs, weights, outputs and bounds on rounding, for implementers in any language.

A folder of vectors is the same to the last byte wherever it is written: see `verify.repeatable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from verify.bounded import exact
from verify.forms import KINDS
from verify.vector_cases import FORMATS, Case, cases
from verify.vector_readme import readme

__all__ = ["SCHEMA", "Tensors", "Vector", "export", "manifest", "open_tensors"]

SCHEMA = "srr-vectors/1"
"""Changes whenever a vector, or what the files mean, does."""
MANIFEST = "manifest.json"
TELLING = 0.5
"""A bound above this share of the largest entry says too little to be worth a vector."""
_WIDTHS = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Vector:
    """One line of the manifest: which tensors of which file."""

    name: str
    kind: str
    form: str
    dtype: str
    file: str
    inputs: tuple[str, ...]
    weights: Mapping[str, str]
    constants: Mapping[str, float]
    output: str
    bound: str
    shape: tuple[int, ...]


def export(
    folder: Path,
    kinds: Sequence[str] = (),
    *,
    realistic: bool = False,
    progress: Callable[[str], None] = lambda said: None,
) -> tuple[int, int]:
    """Write a folder of vectors; nothing is written unless all of it is.

    Parameters
    ----------
    folder : Path
        New, or of an earlier export.
    kinds : sequence of str
        In `verify.forms.KINDS`; all by default.
    realistic : bool
        Also d = 768 and, in every format, d = 384.
    progress : callable
        Told of each file.

    Returns
    -------
    vectors, bytes : int

    Raises
    ------
    ValueError
        An unknown kind; a folder of something else.
    """
    from verify.output import write_all

    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ValueError(f"DIR must be empty or hold vectors, got {str(folder)!r}, which holds something else")
    chosen = tuple(kind for kind in KINDS if not kinds or kind in kinds)
    files: dict[str, bytes] = {}
    lines: list[dict[str, Any]] = []
    for kind in chosen:
        for dtype in FORMATS:
            for name, content, entries in _files(kind, dtype, realistic):
                files[name] = content
                lines.extend(entries)
            progress(f"{kind} {dtype}")
    files["README.md"] = readme(chosen, SCHEMA).encode()
    head = {
        "schema": SCHEMA,
        "files": {name: {"bytes": len(a), "sha256": sha256(a).hexdigest()} for name, a in sorted(files.items())},
        "vectors": lines,
    }
    files[MANIFEST] = (json.dumps(head, indent=1, ensure_ascii=False) + "\n").encode()
    write_all([(folder / name, content) for name, content in files.items()])
    return len(lines), sum(map(len, files.values()))


def _files(kind: str, dtype: str, realistic: bool) -> Iterator[tuple[str, bytes, list[dict[str, Any]]]]:
    by_size: dict[str, list[Case]] = {}
    for case in cases(kind, dtype, realistic=realistic):
        by_size.setdefault(case.size.name, []).append(case)
    for size, some in by_size.items():
        file = f"{kind}.{dtype}.{size}.safetensors"
        tensors: dict[str, tuple[np.ndarray, str]] = {}
        lines = [line for case in some if (line := _line(case, file, tensors)) is not None]
        if lines:
            yield file, _packed(tensors), lines


def _line(case: Case, file: str, tensors: dict[str, tuple[np.ndarray, str]]) -> dict[str, Any] | None:
    """The manifest's words on a case, its tensors put with the others; None if its bound says too little."""
    p = FORMATS[case.dtype]
    if not all(_representable(a, case.dtype) for a in (*case.reads, *case.weights.values())):
        return None  # beyond the range of the format
    try:
        found = case.near.form(*(exact(a, p) for a in case.reads), weights=case.weights, constants=case.constants)
    except ValueError:
        return None  # sizes that this operator cannot have
    size = np.abs(found.value).max() or max((np.abs(a).max() for a in case.reads), default=0.0) or 1.0
    if not found.error.max() <= TELLING * size:
        return None
    name = f"{case.near.slug}.{case.dtype}.{case.size.name}.{case.name}"
    inputs = [f"{case.kind}.{case.name}/input.{i}" for i in range(len(case.reads))]
    weights = {role: f"weights.{case.weights_name}/{role}" for role in case.weights}
    given = {**dict(zip(inputs, case.reads, strict=True)), **{weights[role]: a for role, a in case.weights.items()}}
    tensors.update({tensor: (a, case.dtype) for tensor, a in given.items()})
    output, bound = f"{name}/output", f"{name}/bound"
    tensors[output], tensors[bound] = (found.value, "float64"), (found.error, "float64")
    return {
        "name": name,
        "kind": case.kind,
        "form": case.near.slug,
        "dtype": case.dtype,
        "file": file,
        "inputs": inputs,
        "weights": weights,
        "constants": dict(case.constants),
        "output": output,
        "bound": bound,
        "shape": list(found.shape),
    }


# --- safetensors --------------------------------------------------------------------------------------------------


def _packed(tensors: Mapping[str, tuple[np.ndarray, str]]) -> bytes:
    """A file of them, the widest first, so that all are aligned: the library leaves the order open."""
    header, data, start = {}, [], 0
    for name, (a, dtype) in sorted(tensors.items(), key=lambda item: (-_WIDTHS[item[1][1]], item[0])):
        content = _bytes(a, dtype)
        end = start + len(content)
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(a.shape), "data_offsets": [start, end]}
        data.append(content)
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(data)


def _bytes(a: np.ndarray, dtype: str) -> bytes:
    if dtype == "bfloat16":  # the upper half of float32
        return (a.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    with np.errstate(over="ignore"):
        return a.astype(np.dtype(dtype).newbyteorder("<")).tobytes()


def _representable(a: np.ndarray, dtype: str) -> bool:
    raw = {"data": _bytes(a, dtype), "dtype": _DTYPES[dtype], "shape": a.shape}
    return np.array_equal(_floats(raw, ""), a)


def open_tensors(path: Path, name: str) -> tuple[dict[str, np.ndarray], bytes]:
    """All tensors of a file as float64, and its bytes.

    Raises
    ------
    ValueError
        There is no such file, it is not whole, or has numbers that are not floating.
    """
    from safetensors import deserialize

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{name} must be a file that can be read, got {path.name}: {error.strerror}") from error
    try:
        raw = deserialize(content)
    except Exception as error:  # SafetensorError, and what its parser raises
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{name} must be a whole safetensors file, got {path.name}: {reason}") from error
    return {tensor: _floats(a, f"{tensor} in {path.name}") for tensor, a in raw}, content


def _floats(raw: Mapping[str, Any], name: str) -> np.ndarray:
    data, dtype = bytes(raw["data"]), raw["dtype"]
    match dtype:
        case "BF16":
            a = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        case "F16" | "F32" | "F64":
            a = np.frombuffer(data, f"<f{int(dtype[1:]) // 8}")
        case _:
            raise ValueError(f"{name} must be F64, F32, F16 or BF16, got {dtype}")
    return a.astype(np.float64).reshape(raw["shape"])


# --- the manifest -------------------------------------------------------------------------------------------------


def manifest(folder: Path) -> tuple[tuple[Vector, ...], Mapping[str, str]]:
    """The vectors of a folder, and the SHA-256 of each file.

    Raises
    ------
    ValueError
        There is none; it is of another schema, or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"DIR must hold {MANIFEST}, got {str(folder)!r}")
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        schema = head["schema"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"{MANIFEST} must be one that `srr vectors export` wrote, got {_reason(error)}") from error
    if schema != SCHEMA:
        raise ValueError(f"{MANIFEST} must have schema {SCHEMA!r}, got {schema!r}")
    try:
        files = {name: str(about["sha256"]) for name, about in head["files"].items()}
        vectors = tuple(_vector(line, files) for line in head["vectors"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{MANIFEST} must be one that `srr vectors export` wrote, got {_reason(error)}") from error
    return vectors, files


def _vector(line: Mapping[str, Any], files: Mapping[str, str]) -> Vector:
    texts = {key: line[key] for key in ("name", "kind", "form", "dtype", "file", "output", "bound")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"a {key} that is no text: {value!r}")
    if texts["file"] not in files or not re.fullmatch(r"[A-Za-z0-9_.-]+\.safetensors", texts["file"]):
        raise ValueError(f"a file that is not among its files: {texts['file']!r}")
    if texts["kind"] not in KINDS or texts["dtype"] not in FORMATS:
        raise ValueError(f"a vector of unknown kind {texts['kind']!r} or dtype {texts['dtype']!r}")
    return Vector(
        **texts,
        inputs=tuple(map(str, line["inputs"])),
        weights={str(role): str(tensor) for role, tensor in line["weights"].items()},
        constants={str(key): float(value) for key, value in line["constants"].items()},
        shape=tuple(int(size) for size in line["shape"]),
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
