"""``srr audit``: what the layers of a trained network do to the terms of the sparse rate reduction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from verify.usage import Flag, Whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from verify.layouts import Layout

Place = Annotated[Path | None, Parameter(show_default=False)]
Several = Annotated[tuple[float, ...], Parameter(consume_multiple=(1, None))]
Constants = Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), show_default=False)]


def audit(
    model: str,
    /,
    *,
    data: str,
    layout: Annotated[str | None, Parameter(show_default=False)] = None,
    heads: Annotated[Whole | None, Parameter(show_default=False)] = None,
    constant: Constants = (),
    eps: Several = (0.1, 0.5, 1.0),
    lam: float = 0.1,
    cls: Literal["first", "last", "none"] = "first",
    tokens: Annotated[tuple[Literal["raw", "normed", "operator"], ...], Parameter(consume_multiple=(1, None))] = (
        "raw",
        "normed",
        "operator",
    ),
    twin: Annotated[str | None, Parameter(show_default=False)] = None,
    no_twin: Flag = False,
    controls: Annotated[Whole | None, Parameter(show_default=False)] = None,
    certify: Whole = 0,
    batch: Whole = 8,
    dtype: Literal["float64", "float32"] = "float64",
    device: str = "cpu",
    seed: Whole = 0,
    out: Place = None,
    json: Place = None,
    npz: Place = None,
    resume: Place = None,
) -> int:
    """Trace a network half-layer by half-layer: R, Rc(Z|U), dR, sparsity and SRR, beside null controls.

    Every effect stands beside what a random update of the same norm, a constant vector, the mean token and plain
    shrinking do, beside other bases, and beside the untrained twin. What they do too is not specific to the layer.

    Parameters
    ----------
    model
        package.module:factory, of your own code, or the FILE of a checkpoint, nothing in which is executed.
    data
        Inputs, a sample a row: .npy, in C order of any size, for it is read batch by batch; .npz or .safetensors
        (FILE:ARRAY for one of several arrays); or package.module:loader, which gives batches.
    layout
        Where the network keeps its parts: a name, or package.module:LAYOUT of your own; by default the known layout
        that its weights fit.
    heads
        How many, if the network does not say.
    constant
        Other constants of the layout, NAME=VALUE; subspaces=key takes the keys of a standard transformer for U.
    eps
        Precisions, one or several; each enters as eps^2.
    lam
        Lambda of the sparse rate reduction.
    cls
        Which token is [CLS]: everything is measured with it and without it.
    tokens
        Which tokens are measured: as they are; normed on both sides; or as the operator sees them.
    twin
        package.module:factory of an untrained network; by default the weights are drawn anew.
    no_twin
        Leave the untrained twin out.
    controls
        On how many samples null controls and counterfactuals are tried; all by default.
    certify
        On how many samples signs are decided in exact and ball arithmetic.
    batch
        Samples at a time.
    dtype
        In which rates are computed.
    device
        Of the network and of the rates, as torch names it.
    seed
        Of controls and twin.
    out
        Write a report page, audit.html, with its figures and numbers into this folder.
    json, npz
        Write all numbers to this file.
    resume
        Keep the state in this file while running, and go on from it if it is there.

    Returns
    -------
    int
        0.
    """
    from verify.extras import require
    from verify.output import require_writable, write_all
    from verify.terminal import progress
    from verify.usage import UsageError, user_input

    places = [(place, name) for place, name in ((json, "json"), (npz, "npz"), (resume, "resume")) if place is not None]
    with user_input():
        for place, name in places:
            require_writable(place, name)
        if out is not None:
            require_writable(out, "out", folder=True)
        if no_twin and twin is not None:
            raise UsageError("twin must not be given with no-twin")
        require("torch", "srr audit")
        import torch

        from verify import settings
        from verify.auditing import files, source, text
        from verify.auditing.run import audit as run

        described: Layout | None = None if layout is None else settings.layout(layout)
        constants: Mapping[str, Any] = settings.constants(constant) | ({} if heads is None else {"heads": heads})
        network = source.model(model, described, constants).to(device)
        other = source.model(twin, described, constants).to(device) if twin else not no_twin
        given, samples = source.data(data)
        with progress(samples or 1, "auditing") as advance:
            done = 0

            def tell(count: int) -> None:
                nonlocal done
                for _ in range(count):
                    done += 1
                    advance(f"sample {done}")

            found = run(
                network,
                given,
                layout=described,
                constants=constants,
                eps=eps,
                lam=lam,
                cls=cls,
                tokens=tokens,
                twin=other,
                controls=controls,
                certify=certify,
                batch=batch,
                dtype=getattr(torch, dtype),
                seed=seed,
                name=model,
                resume=resume,
                progress=tell,
            )
    written: list[tuple[Path, str | bytes]] = []
    if json is not None:
        written.append((json, files.to_json(found)))
    if npz is not None:
        written.append((npz, files.to_npz(found)))
    if out is not None:
        from verify.auditing import page

        written += page.files(found, out)
    write_all(written)
    text.show(found)
    if out is not None:
        print(f"\nReport   {out / 'audit.html'}")
    return 0
