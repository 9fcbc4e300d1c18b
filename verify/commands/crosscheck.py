"""``srr crosscheck``: what an implementation computes, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from verify.usage import Flag, UsageError, Whole, user_input

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from verify.comparison import CrossCheck

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".npz")


def crosscheck(
    target: str,
    *,
    layout: Annotated[str | None, Parameter(show_default=False)] = None,
    heads: Annotated[Whole | None, Parameter(show_default=False)] = None,
    eta: Annotated[float | None, Parameter(show_default=False)] = None,
    lam: Annotated[float | None, Parameter(show_default=False)] = None,
    inputs: Annotated[str | None, Parameter(show_default=False)] = None,
    seed: Whole = 0,
    json: Flag = False,
) -> int:
    """Compare every operator of an implementation with every known form of it.

    Each is fed tokens that tell the forms apart, in float64, and judged by a bound on rounding. The answer names the
    form, of a paper or of published code, or the nearest and where it parts from it.

    Parameters
    ----------
    target
        package.module:factory, which gives a torch Module or verify.Subject objects; or a checkpoint FILE of a known
        layout, whose weights are put into srr's own network of that kind.
    layout
        How the network names its parts; by default the layout that its state dict fits.
    heads
        Attention heads, if the network does not say.
    eta
        Step of ISTA, if the network does not say; 0.1 by default.
    lam
        Threshold of ISTA, likewise.
    inputs
        Tokens (b, n, d) to run the layers on: a FILE .npy, .npz or .safetensors, or FILE:ARRAY.
    seed
        Of the tokens that operators are fed.
    json
        Print the findings as JSON.

    Returns
    -------
    int
        0 if every operator is the form that it should be, 1 if not.
    """
    from verify.terminal import page

    given = {"heads": heads, "step_size": eta, "lambd": lam}
    constants = {name: value for name, value in given.items() if value is not None}
    with user_input():
        check = _checked(target, layout, constants, inputs, seed)
    if json:
        from json import dumps

        print(dumps(check.to_dict(), indent=1, ensure_ascii=False))
    else:
        with page() as console:
            console.print(check)
    return 0 if check.passes else 1


def _checked(
    target: str, layout: str | None, constants: Mapping[str, Any], inputs: str | None, seed: int
) -> CrossCheck:
    from verify import files, targets
    from verify.comparison import crosscheck as compare

    try:
        import torch  # noqa: F401 - the layouts need it
    except ImportError:
        raise UsageError('srr crosscheck needs torch: pip install ".[torch]"') from None
    from verify.layouts import LAYOUTS

    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    fed = None if inputs is None else files.load(inputs, "inputs", key="tokens")
    if Path(target).suffix in SUFFIXES:
        from verify import checkpoint

        subject = checkpoint.read(Path(target))
    else:
        subject = targets.load(target, "target")
    return compare(subject, layout=layout, constants=constants, inputs=fed, seed=seed)
