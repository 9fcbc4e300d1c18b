"""CRATE in torch with one fault each: what somebody's port may get wrong."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from verify.models.crate import Crate

DIM, HEADS = 12, 3


def network(*, dtype: torch.dtype = torch.float64, depth: int = 2, size: int = 4) -> Crate:
    """A small CRATE without a fault."""
    torch.manual_seed(0)
    return Crate(image_size=size, patch_size=2, channels=1, num_classes=3, dim=DIM, depth=depth, heads=HEADS).to(dtype)


@dataclass(frozen=True)
class Fault:
    """A wrong network, and the words that must name the fault: of the report, or of the error that refuses it."""

    build: Callable[[], nn.Module]
    says: str
    refused: bool = False


def _attention(forward: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = network()
        for attend, _ in model.transformer.layers:
            attend.fn.forward = types.MethodType(forward, attend.fn)
        return model

    return build


def _ista(forward: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = network()
        for _, sparsify in model.transformer.layers:
            sparsify.fn.forward = types.MethodType(forward, sparsify.fn)
        return model

    return build


def _trunk(forward: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = network()
        model.transformer.forward = types.MethodType(forward, model.transformer)
        return model

    return build


def _norms(norm: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model = network()
        for layer in model.transformer.layers:
            for half in layer:
                half.norm = norm().double()
        return model

    return build


class Rms(nn.Module):
    """RMS norm under the names of LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(DIM)), nn.Parameter(torch.zeros(DIM))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z / torch.sqrt((z**2).mean(-1, keepdim=True) + 1e-5) * self.weight + self.bias


def _heads(self: nn.Module, z: torch.Tensor) -> torch.Tensor:
    return self.qkv(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _out(self: nn.Module, y: torch.Tensor) -> torch.Tensor:
    return self.to_out(y.transpose(1, 2).flatten(2))


def _attend(self, z, *, scale=None, dim=-1, mask=None):
    y = _heads(self, z)
    logits = (self.scale if scale is None else scale) * y @ y.mT
    if mask is not None:
        logits = logits.masked_fill(~mask(torch.ones_like(logits)).bool(), -torch.inf)
    return _out(self, torch.softmax(logits, dim=dim) @ y)


def _transposed_projection(self, z):
    y = (z @ self.qkv.weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
    return _out(self, torch.softmax(self.scale * y @ y.mT, dim=-1) @ y)


def _interleaved(self, z):
    y = self.qkv(z).unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2)
    attended = torch.softmax(self.scale * y @ y.mT, dim=-1) @ y
    return self.to_out(attended.permute(0, 2, 3, 1).flatten(2))


def _untied_value(self, z):
    y = _heads(self, z)
    return _out(self, torch.softmax(self.scale * y @ y.mT, dim=-1) @ torch.sin(y))


def _no_bias(self, z):
    y = _heads(self, z)
    attended = torch.softmax(self.scale * y @ y.mT, dim=-1) @ y
    return F.linear(attended.transpose(1, 2).flatten(2), self.to_out[0].weight)


def _dropout(self, z):
    return _out(self, F.dropout(_heads(self, z), 0.5, training=True))


def _half_inside(self, z):
    y = _heads(self, z).half()
    return _out(self, (torch.softmax(self.scale * y @ y.mT, dim=-1) @ y).double())


def _float_inside(self, z):
    y = _heads(self, z).float()
    return _out(self, (torch.softmax(self.scale * y @ y.mT, dim=-1) @ y).double())


def _ista_step(self, z, *, up=None, step=None, threshold=None, activation=F.relu):
    W = self.weight
    up = (z - z @ W.T) @ W if up is None else up(z, W)
    step = self.step_size if step is None else step
    threshold = self.step_size * self.lambd if threshold is None else threshold
    return activation(z + step * up - threshold)


def _in_place(self, z):
    W = self.weight
    z += self.step_size * ((z - z @ W.T) @ W) - self.step_size * self.lambd
    return F.relu_(z)


def _soft(self, z):
    W = self.weight
    return F.softshrink(z + self.step_size * ((z - z @ W.T) @ W), self.step_size * self.lambd)


def _no_skip(self, z):
    for attend, sparsify in self.layers:
        z = sparsify(attend(z))
    return z


def _skip_of_normed(self, z):
    for attend, sparsify in self.layers:
        z = sparsify(attend(z) + attend.norm(z))
    return z


def _skip_of_normed_by_hand(self, z):
    for attend, sparsify in self.layers:
        normed = F.layer_norm(z, z.shape[-1:], attend.norm.weight, attend.norm.bias)
        z = sparsify(attend(z) + normed)
    return z


def _subtracted(self, z):
    for attend, sparsify in self.layers:
        z = sparsify(z - attend(z))
    return z


def _scaled(self, z):
    return type(self).forward(self, 2 * z)


def _normed_at_the_end(self, z):
    return F.layer_norm(type(self).forward(self, z), z.shape[-1:])


def _clipped(self, z):
    for attend, sparsify in self.layers:
        z = sparsify((attend(z) + z).clamp(-10, 10))
    return z


def _clipped_far_out(self, z):
    for attend, sparsify in self.layers:
        z = sparsify((attend(z) + z).clamp(-1e5, 1e5))
    return z


def _few_keys(self, z):
    y = _heads(self, z)
    logits = self.scale * y @ y.mT
    logits[..., 6:] = -torch.inf
    return _out(self, torch.softmax(logits, dim=-1) @ y)


def _almost(self, z):
    return (1 + 1e-7) * type(self).forward(self, z)


def _seventh_unseen() -> nn.Module:
    model = network(size=8)
    for attend, _ in model.transformer.layers:
        attend.fn.forward = types.MethodType(_few_keys, attend.fn)
    return model


def _hooked() -> nn.Module:
    model = network()
    model.transformer.register_forward_hook(lambda module, args, result: 2 * result)
    return model


def _functional_weights(self, z):
    for attend, sparsify in self.layers:
        half, W = attend(z) + z, sparsify.fn.weight
        normed = sparsify.norm(half)
        z = F.relu(normed + 0.1 * ((normed - normed @ W.T) @ W) - 0.01)
    return z


def _shared_layers() -> nn.Module:
    model = network()
    model.transformer.layers[1] = model.transformer.layers[0]
    return model


def _looped(self, z):
    for _ in range(2):
        for attend, sparsify in self.layers:
            z = sparsify(attend(z) + z)
    return z


def _not_a_number() -> nn.Module:
    model = network()
    with torch.no_grad():
        model.transformer.layers[0][1].fn.weight[0, 0] = torch.nan
    return model


def _step_elsewhere() -> nn.Module:
    model = network()
    for _, sparsify in model.transformer.layers:
        sparsify.fn.forward = types.MethodType(
            lambda self, z: _ista_step(self, z, step=0.3, threshold=0.06), sparsify.fn
        )
    return model


def _post_norm() -> nn.Module:
    def forward(self, z):
        return self.norm(self.fn(z))

    model = network()
    for layer in model.transformer.layers:
        for half in layer:
            half.forward = types.MethodType(forward, half)
    return model


def _of_jit() -> nn.Module:
    return torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Linear(2, 2)).eval()))


FAULTS = {
    "the projection is transposed": Fault(_attention(_transposed_projection), "by the weight itself"),
    "heads are interleaved": Fault(_attention(_interleaved), "heads are interleaved"),
    "softmax over the queries": Fault(
        _attention(lambda s, z: _attend(s, z, dim=-2)), "the softmax is over the queries"
    ),
    "softmax over the heads": Fault(_attention(lambda s, z: _attend(s, z, dim=1)), "the softmax is over the heads"),
    "no softmax": Fault(
        _attention(lambda s, z: _out(s, s.scale * _heads(s, z) @ _heads(s, z).mT @ _heads(s, z))), "there is no softmax"
    ),
    "no scale": Fault(_attention(lambda s, z: _attend(s, z, scale=1.0)), "the softmax has no scale"),
    "scale of the whole dimension": Fault(_attention(lambda s, z: _attend(s, z, scale=DIM**-0.5)), "scale d^-1/2"),
    "a causal mask": Fault(_attention(lambda s, z: _attend(s, z, mask=torch.tril)), "causal MSSA"),
    "a mask the wrong way round": Fault(
        _attention(lambda s, z: _attend(s, z, mask=torch.triu)), "earlier tokens are masked"
    ),
    "the bias is left out": Fault(_attention(_no_bias), "without the bias"),
    "a value of its own": Fault(_attention(_untied_value), "is no known form"),
    "D and its transpose exchanged": Fault(
        _ista(lambda s, z: _ista_step(s, z, up=lambda z, W: (z - z @ W) @ W.T)),
        "D and its transpose have changed places",
    ),
    "the way back by D": Fault(
        _ista(lambda s, z: _ista_step(s, z, up=lambda z, W: (z - z @ W.T) @ W.T)), "D stands where its transpose should"
    ),
    "no residual": Fault(
        _ista(lambda s, z: _ista_step(s, z, up=lambda z, W: z @ W)), "part -D^T D Z of the gradient is missing"
    ),
    "no threshold": Fault(_ista(lambda s, z: _ista_step(s, z, threshold=0.0)), "the threshold lam is missing"),
    "a threshold without the step": Fault(_ista(lambda s, z: _ista_step(s, z, threshold=0.1)), "the threshold is lam"),
    "a threshold that is added": Fault(_ista(lambda s, z: _ista_step(s, z, threshold=-0.01)), "the threshold is added"),
    "the papers' factor 2": Fault(_ista(lambda s, z: _ista_step(s, z, threshold=0.02)), "the threshold is 2 eta lam"),
    "the gradient goes uphill": Fault(
        _ista(lambda s, z: _ista_step(s, z, up=lambda z, W: -((z - z @ W.T) @ W))), "the gradient step goes uphill"
    ),
    "soft-thresholding": Fault(_ista(_soft), "soft-thresholding keeps their signs"),
    "a step that its attribute does not say": Fault(_step_elsewhere, "eta=0.3, lam=0.2"),
    "no skip": Fault(_trunk(_no_skip), "no skip"),
    "the skip behind LayerNorm": Fault(_trunk(_skip_of_normed_by_hand), "as printed for segmentation"),
    "the update taken off": Fault(_trunk(_subtracted), "Z - update"),
    "LayerNorm's floor of another library": Fault(
        _norms(lambda: nn.LayerNorm(DIM, eps=1e-6)), "LayerNorm as in Flax and timm"
    ),
    "RMS norm": Fault(_norms(Rms), "the mean is not taken off"),
    "half precision inside": Fault(_attention(_half_inside), "computed in float16"),
    "single precision inside": Fault(_attention(_float_inside), "computed in float32"),
    "LayerNorm behind the half": Fault(_post_norm, "passed on as it is"),
    "the trunk scales what comes in": Fault(_trunk(_scaled), "input of transformer to input of transformer.layers.0.0"),
    "the trunk adds a LayerNorm": Fault(_trunk(_normed_at_the_end), "transformer.layers.1.1 to output of transformer"),
    "a hook on the trunk": Fault(_hooked, "transformer.layers.1.1 to output of transformer"),
    "large tokens are clipped": Fault(_trunk(_clipped), "the skip"),
    "tokens far out are clipped": Fault(_trunk(_clipped_far_out), "the skip"),
    "the seventh token is not seen": Fault(_seventh_unseen, "is no known form"),
    "off by the rounding of another precision": Fault(_attention(_almost), "float32, or off by no more than that"),
    "dropout in evaluation": Fault(_attention(_dropout), "must give the same for the same input", refused=True),
    "its input changed in place": Fault(_ista(_in_place), "changed in place", refused=True),
    "weights taken without a call": Fault(
        _trunk(_functional_weights), "takes its weights without calling it", refused=True
    ),
    "layers that are one": Fault(_shared_layers, "shared", refused=True),
    "layers taken twice": Fault(_trunk(_looped), "got 2 calls", refused=True),
    "LayerNorm called twice": Fault(_trunk(_skip_of_normed), "got 2 calls", refused=True),
    "a compiled network": Fault(lambda: torch.compile(network()), "must not be compiled", refused=True),
    "a compiled part": Fault(lambda: _compiled_part(), "must not be compiled", refused=True),
    "weights that are no numbers": Fault(_not_a_number, "must have finite weights", refused=True),
}


def _compiled_part() -> nn.Module:
    model = network()
    model.transformer.layers[0][0].fn.compile()
    return model
