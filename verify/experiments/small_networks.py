"""Small classifiers of images whose layers are those of CRATE, of theory, and of a standard transformer, in torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srr import attention, curvature, layers, prox
from srr.layer import HALVES
from verify.layouts import LAYOUTS, LayerParts, Layout, State, Tap
from verify.models.crate import Crate, Patches

IMAGE, PATCH, CLASSES = 8, 2, 10
D, HEADS, P, DEPTH = 32, 4, 8, 4
EPS, LAM, ETA = 0.5, 0.1, 0.1
CRATE, TIED, EXACT, DESCENT, VIT = "crate", "tied", "exact", "descent", "vit"
NAMES = (CRATE, TIED, EXACT, DESCENT, VIT)
SAID = {
    CRATE: "CRATE as its code has it",
    TIED: "the same, its output matrix tied to the bases",
    EXACT: "exact gradient steps on Rc, then ISTA",
    DESCENT: "descent layers",
    VIT: "a standard transformer",
}


class Bases(nn.Module):
    """U ``(K, d, p)``, which starts as one orthogonal matrix cut into heads."""

    def __init__(self) -> None:
        super().__init__()
        self.U = nn.Parameter(torch.empty(HEADS, D, P))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        frame = nn.init.orthogonal_(torch.empty(D, HEADS * P))
        with torch.no_grad():
            self.U.copy_(frame.unflatten(1, (HEADS, P)).transpose(0, 1))


class TiedAttention(Bases):
    """Z + Σ_k softmax(p^−½ Y_kY_kᵀ) Y_k U_kᵀ, Y_k = N(Z) U_k."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D)

    def forward(self, Z: Tensor) -> Tensor:
        return Z + attention.mssa_official(self.norm(Z), self.U)


class ExactStep(Bases):
    """Z − ∇Rᶜ(Z|U)/L_c: no LayerNorm, as in theory."""

    def forward(self, Z: Tensor) -> Tensor:
        step = curvature.compression_step(self.U.detach(), Z.shape[-2], eps=EPS)
        return attention.exact_step(Z, self.U, eps=EPS, step=step)


class DescentStep(Bases):
    """The first half of the descent layer."""

    def forward(self, Z: Tensor) -> Tensor:
        return layers.descent(self.U, eps=EPS, lam=LAM).compress(Z)


class Threshold(nn.Module):
    """The second half of the descent layer, whose bases are those of the first."""

    def __init__(self, bases: Bases) -> None:
        super().__init__()
        self.of = (bases,)  # in a tuple: they are the first half's parameters

    def forward(self, Z: Tensor) -> Tensor:
        return layers.descent(self.of[0].U.detach(), eps=EPS, lam=LAM).sparsify(Z)


class Ista(nn.Module):
    """relu(X + η (X − X Dᵀ) D − ηλ), X the tokens, or N of them."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D) if norm else nn.Identity()
        self.D = nn.Parameter(torch.empty(D, D))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.D)

    def forward(self, Z: Tensor) -> Tensor:
        return prox.ista_step(self.norm(Z), self.D, step=ETA, lam=LAM)


class Heads(nn.Module):
    """Z + attention of N(Z), with queries, keys and values of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.qkv = nn.Linear(D, 3 * D)
        self.out = nn.Linear(D, D)

    def forward(self, Z: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(Z)).unflatten(-1, (3, HEADS, P)).permute(2, 0, 3, 1, 4)
        return Z + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Z + GELU(N(Z) W₁ᵀ + b₁) W₂ᵀ + b₂."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, Z: Tensor) -> Tensor:
        return Z + self.down(F.gelu(self.up(self.norm(Z))))


def _halves(name: str) -> tuple[nn.Module, nn.Module]:
    if name == TIED:
        return TiedAttention(), Ista(norm=True)
    if name == EXACT:
        return ExactStep(), Ista(norm=False)
    if name == DESCENT:
        first = DescentStep()
        return first, Threshold(first)
    return Heads(), Mlp()


class Classifier(nn.Module):
    """Patches, [CLS] and positions, layers of two halves each, and a linear map of [CLS]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.embed = nn.Sequential(Patches(PATCH), nn.LayerNorm(PATCH**2), nn.Linear(PATCH**2, D), nn.LayerNorm(D))
        self.cls = nn.Parameter(torch.randn(1, 1, D))
        self.positions = nn.Parameter(torch.randn(1, (IMAGE // PATCH) ** 2 + 1, D))
        self.layers = nn.ModuleList(nn.ModuleList(_halves(name)) for _ in range(DEPTH))
        self.head = nn.Sequential(nn.LayerNorm(D), nn.Linear(D, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        Z = self.embed(images)
        Z = torch.cat([self.cls.expand(len(Z), -1, -1), Z], dim=1) + self.positions
        for first, second in self.layers:
            Z = second(first(Z))
        return self.head(Z[:, 0])


def network(name: str) -> nn.Module:
    """One of `NAMES`, with weights as before training."""
    if name == CRATE:
        return Crate(
            image_size=IMAGE, patch_size=PATCH, num_classes=CLASSES, dim=D, depth=DEPTH, heads=HEADS, channels=1
        )
    return Classifier(name)


def layout(name: str) -> tuple[Layout, dict[str, int]]:
    """Where one of `NAMES` keeps its parts, and what its weights do not tell."""
    if name == CRATE:
        return LAYOUTS["crate"], {"heads": HEADS}

    def parts(state: State) -> tuple[LayerParts, ...]:
        return tuple(_parts(name, i, state) for i in range(DEPTH))

    here = f"{__name__}.Classifier({name!r})"
    return Layout(name, here, lambda state, heads=None: {}, lambda state: (), parts, lambda state: network(name)), {}


def _parts(name: str, i: int, state: State) -> LayerParts:
    first, second = f"layers.{i}.0", f"layers.{i}.1"

    def norm(half: str) -> Callable[[Tensor], Tensor]:
        return partial(layers.layer_norm, scale=state[f"{half}.norm.weight"], shift=state[f"{half}.norm.bias"])

    taps = (Tap(first, "input"), Tap(second, "input"), Tap(second, "output"))
    if name == VIT:  # the values' projection stands for U
        values = state[f"{first}.qkv.weight"][2 * D :]
        U = values.unflatten(0, (HEADS, P)).mT
        return LayerParts(i, *taps, HALVES, U, output=state[f"{first}.out.weight"], norms=(norm(first), norm(second)))
    U = state[f"{first}.U"]
    if name == DESCENT:
        return LayerParts(i, *taps, HALVES, U, layer=layers.descent(U, eps=EPS, lam=LAM))
    atoms = state[f"{second}.D"]
    if name == EXACT:
        return LayerParts(i, *taps, HALVES, U, D=atoms, layer=layers.crate(U, atoms, rule="exact", eps=EPS))
    norms = (norm(first), norm(second))
    tied = layers.PreNorm(layers.official(U, atoms, eta=ETA, lam=LAM), *norms)
    return LayerParts(i, *taps, HALVES, U, D=atoms, norms=norms, layer=tied)
