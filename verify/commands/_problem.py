"""The options that say what to put layers to work on: those of every command that does."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from verify.layer_families import FAMILIES
from verify.usage import Flag, Whole

if TYPE_CHECKING:
    from verify.problem import Problem

Family = Literal[tuple(FAMILIES)]
Count = Annotated[Whole | None, Parameter(show_default=False)]
Number = Annotated[float | None, Parameter(show_default=False)]
Place = Annotated[str | None, Parameter(show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Given:
    """Tokens, bases, a dictionary, and the numbers of the layers.

    Parameters
    ----------
    data
        A synthetic mixture, or patches of the digits.
    tokens
        Your tokens, (n, d), instead of --data: a FILE .npy, .npz or .safetensors, or FILE:ARRAY.
    bases
        Their subspaces, (K, d, p); fitted to the tokens if left out.
    dictionary
        D of ISTA, (d, d); by default orthonormal, beginning with the bases.
    labels
        The class of each token for redunet, n integers, a file as for the tokens; by default those of the mixture,
        or else the nearest of the subspaces.
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
        Step of ISTA, 0.1 by default; of redunet, 0.5 by default, or the longest that is safe if it keeps the labels.
    pre_norm
        LayerNorm in front of each half, as in the official code.
    seed
        Of the mixture, of the choice of patches, of fitting, and of the dictionary.
    """

    data: Literal["mixture", "digits"] = "mixture"
    tokens: Place = None
    bases: Place = None
    dictionary: Place = None
    labels: Place = None
    n: Count = None
    d: Count = None
    K: Annotated[Whole | None, Parameter(name="--K", show_default=False)] = None
    p: Count = None
    noise: Number = None
    coherence: Annotated[Literal["orthogonal", "random"] | None, Parameter(show_default=False)] = None
    scale: float = 1.0
    eps: float = 0.5
    lam: float = 0.1
    kappa: Number = None
    eta: Number = None
    pre_norm: Flag = False
    seed: Whole = 0

    def problem(self, family: str, layers: int) -> Problem:
        """Tokens, objective and layers as they were asked for.

        Raises
        ------
        ValueError, TypeError
            An option that cannot be met, or that does not go with another.
        """
        from verify.problem import Choice, Tokens, load

        wanted = Tokens(**{field.name: getattr(self, field.name) for field in fields(Tokens)})
        return load(wanted, Choice(family, self.eps, self.lam, self.kappa, self.eta, self.pre_norm, layers))
