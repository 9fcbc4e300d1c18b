"""``srr redunet``: a network built forward from labelled tokens, layer by layer, judged on tokens it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from verify.usage import Flag, Whole

if TYPE_CHECKING:
    from verify.construction import Row


def redunet(
    *,
    rule: Literal["network", "gradient", "official"] = "network",
    n: Whole = 256,
    d: Whole = 16,
    K: Annotated[Whole, Parameter(name="--K")] = 4,
    p: Whole = 4,
    noise: float = 0.1,
    coherence: Literal["orthogonal", "random"] = "random",
    layers: Whole = 100,
    eps: float = 0.5,
    eta: float = 0.5,
    sharpness: float = 500.0,
    seed: Whole = 0,
    state: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Build a ReduNet from a mixture of subspaces without training, and classify tokens it was not built from.

    Parameters
    ----------
    rule
        The papers' network, which estimates memberships; gradient, which keeps the labels of the tokens it is built
        from; or official, as in the code.
    n
        Labelled tokens, and as many held out.
    d
        Their dimension.
    K
        Subspaces, the classes.
    p
        The dimension of each.
    noise
        Standard deviation of the noise.
    coherence
        How the subspaces lie.
    layers
        How many.
    eps
        Precision; it enters as eps^2.
    eta
        Step of a layer.
    sharpness
        lambda of the estimated memberships.
    seed
        Of the mixture.
    state
        Keep the construction in this .npz file, and go on from it if it is there: with more layers, or after an end
        that was not its own.
    json
        Print JSON.

    Returns
    -------
    int
        0.
    """
    from dataclasses import asdict
    from json import dumps

    from verify.construction import Settings, run
    from verify.output import require_writable
    from verify.terminal import progress
    from verify.usage import user_input

    settings = Settings(n, d, K, p, noise, coherence, rule, eps, eta, sharpness, seed, layers)
    with user_input():
        if state is not None:
            require_writable(state, "state")
        with progress(layers, "building layers") as advance:
            rows = run(settings, state, lambda done: [advance("building layers") for _ in range(done)])
    if json:
        print(dumps({"settings": asdict(settings), "layers": [asdict(row) for row in rows]}, indent=2))
    else:
        said = f"{n} labelled tokens and {n} held out, of norm 1 and dimension {d}"
        _print(f"{said}\n{K} subspaces of dimension {p}, {coherence}, noise {noise:g}", rows)
    return 0


def _print(said: str, rows: Sequence[Row]) -> None:
    from rich.table import Table

    from verify.terminal import page

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("layer", "dR", "dR held out", "|cos|", "nearest subspace", "estimated"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (f"{100 * share:.1f} %" for share in (row.nearest, row.estimated))
        table.add_row(
            str(row.layer), f"{row.reduction:.4g}", f"{row.held_out_reduction:.4g}", f"{row.cosine:.4f}", *shares
        )
    with page() as console:
        console.print(said, "\n")
        console.print(table)
        console.print(
            "\ndR: nats; |cos|: mean between held-out features and those of other classes;\n"
            "then the held-out tokens put into the right class, by the nearest subspace\n"
            "fitted to the features and by the membership that the next layer estimates."
        )
