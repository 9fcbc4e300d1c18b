"""``srr descend``: a layer family at work on tokens, half-step by half-step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from verify.layer_families import FAMILIES
from verify.usage import Flag, Whole

Family = Literal[tuple(FAMILIES)]
Count = Annotated[Whole | None, Parameter(show_default=False)]
Number = Annotated[float | None, Parameter(show_default=False)]
Place = Annotated[str | None, Parameter(show_default=False)]


def descend(
    layer: Family = "residual",
    *,
    data: Literal["mixture", "digits"] = "mixture",
    tokens: Place = None,
    bases: Place = None,
    dictionary: Place = None,
    n: Count = None,
    d: Count = None,
    K: Annotated[Whole | None, Parameter(name="--K", show_default=False)] = None,
    p: Count = None,
    noise: Number = None,
    coherence: Annotated[Literal["orthogonal", "random"] | None, Parameter(show_default=False)] = None,
    scale: float = 1.0,
    eps: float = 0.5,
    lam: float = 0.1,
    kappa: Number = None,
    eta: Number = None,
    pre_norm: Flag = False,
    layers: Whole = 6,
    seed: Whole = 0,
    figure: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Unroll layers over one token set: every term after each half-step, and whether what must fall does.

    Parameters
    ----------
    layer
        The first half: the exact gradient step on Rc, its neumann or derived (attention) approximation,
        the paper's residual Z + MSSA, conceptual (without the factor p/(n eps^2)) or official, as in the code.
        The second half: ISTA. Or descent, the layer that provably lowers the loss.
    data
        A synthetic mixture, or patches of the digits.
    tokens
        Your tokens, (n, d), instead of --data: a FILE .npy, .npz or .safetensors, or FILE:ARRAY.
    bases
        Their subspaces, (K, d, p); fitted to the tokens if left out.
    dictionary
        D of ISTA, (d, d); by default orthonormal, beginning with the bases.
    n
        Tokens; 64 by default.
    d
        Their dimension, for a mixture; 16 by default.
    K
        Subspaces; 4 by default.
    p
        The dimension of each; d/K by default.
    noise
        Standard deviation of the noise of a mixture; 0.1 by default.
    coherence
        How the subspaces of a mixture lie; orthogonal by default.
    scale
        What the tokens are multiplied by.
    eps
        Precision; it enters as eps^2.
    lam
        Weight of |Z|_1 in the loss and in ISTA.
    kappa
        Step of the compression: 1/L_c by default, 1 for the residual families.
    eta
        Step of ISTA; 0.1 by default.
    pre_norm
        LayerNorm in front of each half, as in the official code.
    layers
        How many.
    seed
        Of the mixture, of the choice of patches, of fitting, and of the dictionary.
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
    from verify.problem import Choice, Tokens, load
    from verify.trace import trace
    from verify.trace_figure import write
    from verify.usage import user_input

    with user_input():
        if figure is not None:
            require_figure(figure)
        wanted = Tokens(data, tokens, bases, dictionary, n, d, K, p, noise, coherence, scale, seed)
        choice = Choice(layer, eps, lam, kappa, eta, pre_norm, layers)
        problem = load(wanted, choice)
        found = trace(problem.layers, problem.objective, problem.Z)
        if figure is not None:
            write(found, figure, title=f"{layer}: {problem.tokens_said}")
    if json:
        print(descend_text.to_json(problem, found), end="")
    else:
        descend_text.show(problem, found, figure)
    return int(any(step.judgement.broken for step in found.steps))
