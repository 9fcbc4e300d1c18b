"""``srr crosscheck``: what an implementation computes, operator by operator."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from verify.usage import Flag, Whole, user_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.comparison import CrossCheck


def crosscheck(
    target: str,
    *,
    layout: Annotated[str | None, Parameter(show_default=False)] = None,
    heads: Annotated[Whole | None, Parameter(show_default=False)] = None,
    constant: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), show_default=False)] = (),
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
        package.module:factory, which gives a torch Module, a Flax module or function of JAX and its parameters as a
        pair, a module of flax.nnx, or verify.Subject objects; or a checkpoint FILE of a known layout, whose weights are
        put into srr's own network of that kind.
    layout
        How the network names its parts, a name or package.module:LAYOUT; by default the known one that its state dict
        fits.
    heads
        Attention heads, if the network does not say.
    constant
        Other constants of the layout, NAME=VALUE, if the network does not say: step_size=0.2.
    inputs
        What to run the layers on, tokens (b, n, d), for text the numbers of words (b, n), or what a network in JAX
        takes: a FILE .npy, .npz or .safetensors, or FILE:ARRAY. By default drawn tokens, or words.
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

    with user_input():
        check = _checked(target, layout, heads, constant, inputs, seed)
    if json:
        from json import dumps

        print(dumps(check.to_dict(), indent=1, ensure_ascii=False))
    else:
        with page() as console:
            console.print(check)
    return 0 if check.passes else 1


def _checked(
    target: str, layout: str | None, heads: int | None, constant: Sequence[str], inputs: str | None, seed: int
) -> CrossCheck:
    from verify import checkpoint, extras, files, settings, targets
    from verify.comparison import crosscheck as compare
    from verify.terminal import progress

    is_file = Path(target).suffix in checkpoint.SUFFIXES
    if is_file:
        extras.require("torch", "srr crosscheck of a checkpoint")
    plan = None if layout is None else settings.layout(layout)
    constants = settings.constants(constant) | ({} if heads is None else {"heads": heads})
    fed = None if inputs is None else files.load(inputs, "inputs", key="tokens", integers=True)
    subject = checkpoint.read(Path(target)) if is_file else targets.load(target, "target")
    with ExitStack() as shown:
        bar: list[Callable[..., None]] = []

        def tell(said: str, total: int) -> None:
            if not bar:
                bar.append(shown.enter_context(progress(total, "operators")))
            bar[0](said)

        return compare(subject, layout=plan, constants=constants, inputs=fed, seed=seed, progress=tell)
