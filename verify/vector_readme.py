"""The README of a folder of conformance vectors: all that a checker in another language needs."""

from __future__ import annotations

from collections.abc import Sequence

from verify.comparison import said
from verify.forms import KINDS
from verify.vector_cases import READS, ROLES

_HEAD = """# Conformance vectors of srr

Inputs, weights and outputs of the operators of white-box transformers, with a bound on what rounding may do to each
entry. A program is right on a vector if, in float64,

    |its output - output| <= bound    for every entry.

Format `{schema}`. This text says all that a checker needs; `srr vectors check DIR` is one.

## Files

- `manifest.json`: UTF-8. `schema`; `files`, each with its size and SHA-256; `vectors`, each with
  - `name`, unique; `kind` and `form`, see below; `dtype`: `float64`, `float32`, `float16` or `bfloat16`, what is to be
    computed in;
  - `file`, where its tensors are; `inputs`, the names of what the operator reads, in order; `weights`, from the role
    of a weight to the name of its tensor; `constants`, numbers such as `heads`, `eta`, `lam`, `eps`;
  - `output`, `bound`: the names of the output and of its bound; `shape`, theirs.
- `*.safetensors`: eight bytes, the length L of the header as a little-endian integer; L bytes of JSON, from the name of
  a tensor to its `dtype` (`F64`, `F32`, `F16`, `BF16`), `shape` and `data_offsets`, begin and end counted from behind
  the header; then the numbers, little-endian, the last axis fastest. BF16 is the upper half of float32.

Inputs and weights are stored in the vector's own dtype, and so are exact in it. Output and bound are float64.

## Results

Write one tensor for each vector, under the name that its `output` has, of any of the four dtypes and of the vector's
shape, into any number of files `results/*.safetensors` in this folder. Then `srr vectors check DIR`: it exits with 1 if
any result is missing or outside its bound, and says which known form a wrong one is.

## What the bounds mean

The output is that of exact arithmetic, to within the bound of float64. The bound holds for every program that carries
out the steps of the formula in the dtype, whatever the order of its sums, if:

- each step is rounded to the dtype or to a finer one; in float16 and bfloat16, products and long sums are added up in
  float32 or finer and then rounded;
- division, square root, exp, erf and log err by at most 4 units of roundoff;
- a softmax takes off the largest entry first, or none of its exponentials leaves the range;
- constants may be rounded to the dtype, and factors may be taken into a product of matrices or out of it (in float16
  and bfloat16 only in float32, or if they are powers of two); LayerNorm may compute its variance as the mean square
  less the square of the mean; log det is by Cholesky or by elimination, on the Gram matrix of either side;
- subnormal numbers may be flushed to zero (but in float16).

Vectors whose bound would say too little are left out: wide sums in half precision, for one.

## Letters

Tokens are rows, Z is n x d. K `heads` of dimension p; in the formulas a matrix product is as written, and ᵀ is the
transpose, [·]_k are the heads side by side. softmax is over the last axis unless said otherwise. Logarithms are
natural. Under each form stands what it does, axis by axis, where forms of its kind differ.
"""


def readme(kinds: Sequence[str], schema: str) -> str:
    """The text for a folder that holds these kinds."""
    return _HEAD.format(schema=schema) + "".join(_section(kind) for kind in kinds)


def _section(kind: str) -> str:
    entry = KINDS[kind]
    lines = [f"\n## {kind}: {entry.title}\n", f"{_formula(kind)}\n"]
    reads = READS.get(kind, ())
    lines += [f"- `inputs[{i}]`: {what}" for i, what in enumerate(reads)]
    lines += [f"- `{role}`: {what}" for role, what in ROLES[kind].items()]
    lines.append("")
    for near in entry.named:
        lines.append(f"`{near.slug}`: {said(near)}.")
        lines += [f"  - {near.form.WORDS[axis][getattr(near.form, axis)]}" for axis in near.form.choices()]
        lines.append("")
    return "\n".join(lines)


def _formula(kind: str) -> str:
    text = type(KINDS[kind].named[0].form).__doc__ or ""
    return " ".join(text.split())
