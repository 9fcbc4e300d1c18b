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
        CRATE by its first half, the second being ISTA: the exact gradient step on Rc, its neumann or derived
        (attention) approximation, the implicit or semi-implicit step, the paper's residual Z + MSSA, conceptual
        without the factor p/(n eps^2), official as in the code, with another output matrix (negative, transpose,
        fixed, identity), or causal. Its relatives: alpha and causal-overcomplete code in 4d atoms; decoder undoes a
        layer, autoencoder puts both together; tost reads token statistics; aot is attention only, thresholded or
        aot-softmax; cbsa attends to representatives; redunet is built from tokens and labels. -official: as in the
        published code. And the layers that provably lower the loss: descent, and implicit-descent with longer steps.
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
