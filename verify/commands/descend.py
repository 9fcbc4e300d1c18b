"""``srr descend``: a layer family at work on tokens, half-step by half-step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from verify.commands._problem import Family, Given
from verify.usage import Flag, Whole


def descend(
    layer: Family = "residual",
    *,
    given: Given = Given(),  # noqa: B008 - frozen
    layers: Whole = 6,
    figure: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Unroll layers over one token set: every term after each half-step, and whether what must fall does.

    Parameters
    ----------
    layer
        The first half: the exact gradient step on Rc, its neumann or derived (attention) approximation,
        the implicit or semi-implicit step on Rc, the paper's residual Z + MSSA, conceptual (without the factor
        p/(n eps^2)) or official, as in the code;
        attention with another output matrix: negative, transpose, fixed or identity; or causal. The second half:
        ISTA. Over 4d atoms, started at zero: alpha, alpha-official, causal-overcomplete. What undoes a layer:
        decoder, decoder-official; an encoder and its decoder: autoencoder. Token
        statistics: tost, tost-official. Attention only: aot, aot-softmax. Representatives: cbsa, cbsa-attention,
        cbsa-official. Built from the tokens and their labels: redunet, with the labels kept (-gradient) or as in
        its code (-official). Or descent, the layer that
        provably lowers the loss, or implicit-descent, which does so with longer steps.
    layers
        How many.
    figure
        Write a figure to this .svg, .png or .pdf, in a folder that exists.
    json
        Print JSON.

    Returns
    -------
    int
        0 if every half and every layer lowered what it is to lower, 1 if not.
    """
    from verify import descend_text
    from verify.figure import require_figure
    from verify.trace import trace
    from verify.trace_figure import write
    from verify.usage import user_input

    with user_input():
        if figure is not None:
            require_figure(figure)
        problem = given.problem(layer, layers)
        found = trace(problem.layers, problem.objective, problem.Z)
        if figure is not None:
            write(found, figure, title=f"{layer}: {problem.tokens_said}")
    if json:
        print(descend_text.to_json(problem, found), end="")
    else:
        descend_text.show(problem, found, figure)
    return int(any(step.judgement.broken for step in found.steps))
