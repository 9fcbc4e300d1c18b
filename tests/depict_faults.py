"""DEPICT's decoder in torch with one fault each, in the layers in which queries attend to tokens or around them."""

from __future__ import annotations

import types
from collections.abc import Callable

import torch
from crate_faults import Fault
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.depict import DepictDecoder

CLASSES, DIM, HEADS, DIM_HEAD = 4, 12, 3, 4


def decoder(*, dtype: torch.dtype = torch.float64) -> DepictDecoder:
    """A small one without a fault, whose inner dimension is its dimension, so that no transpose fails by its shape."""
    torch.manual_seed(0)
    sizes = {"classes": CLASSES, "dim": DIM, "depth": 1, "heads": HEADS, "dim_head": 5}
    model = DepictDecoder(**sizes, patch_size=2, cross_depth=2, cross_dim_head=DIM_HEAD)
    with torch.no_grad():
        for name, a in model.named_parameters():
            if "norm" in name:
                a.add_(0.3 * torch.randn_like(a))
            if "cls_emb" in name:
                a.mul_(50)
    return model.to(dtype).eval()


def _changed(part: Callable[[DepictDecoder], list[nn.Module]]) -> Callable[..., Callable[[], nn.Module]]:
    def of(forward: Callable[..., Tensor]) -> Callable[[], nn.Module]:
        def build() -> nn.Module:
            model = decoder()
            for module in part(model):
                module.forward = types.MethodType(forward, module)
            return model

        return build

    return of


_attention = _changed(lambda model: [layer.fn for layer in model.cnet.layers])
_last_attention = _changed(lambda model: [model.cnet.layers[-1].fn])
_self_attention = _changed(lambda model: [layer.fn for layer in model.snet.layers])
_block = _changed(lambda model: list(model.cnet.layers))
_stack = _changed(lambda model: [model.cnet])
_whole = _changed(lambda model: [model])


def _apart(self: nn.Module, a: Tensor) -> Tensor:
    return (a @ self.proj.mT).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _side_by_side(y: Tensor) -> Tensor:
    return y.transpose(1, 2).flatten(2)


def _attend(self, z, query=None, *, scale=None, dim=-1, mask=None, sign=1, step=None, keys=None, values=None):
    y, x = _apart(self, z), _apart(self, z if query is None else query)
    logits = (y.shape[-1] ** -0.5 if scale is None else scale) * x @ (y if keys is None else keys(x, y)).mT
    if mask is not None:
        logits = logits.masked_fill(~mask(torch.ones_like(logits)).bool(), -torch.inf)
    shares = logits if dim is None else torch.softmax(logits, dim=dim)
    result = _side_by_side(shares @ (y if values is None else values(x, y)))
    return sign * (self.step_size if step is None else step) * (result @ self.proj)


def _with(**how):
    return lambda self, z, query=None: _attend(self, z, query, **how)


def _transposed(self, z, query=None):
    y, x = ((a @ self.proj).unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in (z, query))
    attended = torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y
    return self.step_size * (_side_by_side(attended) @ self.proj.mT)


def _interleaved(self, z, query=None):
    y, x = ((a @ self.proj.mT).unflatten(-1, (-1, self.heads)).permute(0, 3, 1, 2) for a in (z, query))
    attended = torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y
    return self.step_size * (attended.permute(0, 2, 3, 1).flatten(2) @ self.proj)


def _not_tied(self, z, query=None):
    """The way back by other bases: those of the next head."""
    y, x = _apart(self, z), _apart(self, query)
    attended = torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y
    return self.step_size * (_side_by_side(attended) @ self.proj.roll(DIM_HEAD, 0))


def _no_way_back(self, z, query=None):
    y, x = _apart(self, z), _apart(self, query)
    return self.step_size * _side_by_side(torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y)


def _in(dtype):
    def forward(self, z, query=None):
        y, x = _apart(self, z).to(dtype), _apart(self, query).to(dtype)
        attended = torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y
        return self.step_size * (_side_by_side(attended).double() @ self.proj)

    return forward


def _writes_to_its_queries(self, z, query=None):
    query *= 1.5
    return _attend(self, z, query)


def _forgetful(self, z, query=None):
    return F.dropout(_attend(self, z, query), 0.5, training=True)


def _queries_normed_by_hand(self, z, query=None):
    return self.fn(self.norm(z), query=F.layer_norm(query, query.shape[-1:], self.norm.weight, self.norm.bias))


def _queries_normed(self, z, query=None):
    return self.fn(self.norm(z), query=self.norm(query))


def _queries_plainly_normed(self, z, query=None):
    return self.fn(self.norm(z), query=F.layer_norm(query, query.shape[-1:]))


def _tokens_not_normed(self, z, query=None):
    self.norm(z)
    return self.fn(z, query=query)


def _exchanged(self, z, query=None):
    return self.fn(self.norm(query), query=z)


def _without_residual(self, z, query=None):
    for layer in self.layers:
        query = layer(z, query=query)
    return query


def _subtracted(self, z, query=None):
    for layer in self.layers:
        query = query - layer(z, query=query)
    return query


def _added_to_tokens(self, z, query=None):
    for layer in self.layers:
        query = layer(z, query=query) + z[:, :CLASSES].mean(1, keepdim=True)
    return query


def _first_queries_throughout(self, z, query=None):
    found = query
    for layer in self.layers:
        found = layer(z, query=query) + found
    return found


def _without_query(self, z, query=None):
    for layer in self.layers:
        z = layer(z) + z
    return z[:, : query.shape[1]]


def _in_place(self, z, query=None):
    """No fault: only after the layer has read them."""
    query = query.clone()
    for layer in self.layers:
        query += layer(z, query=query)
    return query


def _by_position(self, z, query=None):
    """No fault."""
    for layer in self.layers:
        query = layer(z, query) + query
    return query


def _queries_first(self, z, query=None):
    """No fault: names may come in any order."""
    for layer in self.layers:
        query = layer(query=query, z=z) + query
    return query


def _decoded(self, z, im_size, *, tokens=lambda self, z: self.snorm(self.snet(z)), queries=lambda a: a):
    z = tokens(self, z)
    classes = self.cnorm(self.cnet(z, query=queries(self.cls_emb.expand(len(z), -1, -1))))
    return self.mask_norm(z @ classes.mT).mT.unflatten(-1, (im_size[0] // self.patch_size, -1))


def _around(**how):
    return lambda self, z, im_size: _decoded(self, z, im_size, **how)


def _raw_tokens(self, z):
    self.snorm(self.snet(z))
    return z


def _not_normed_tokens(self, z):
    found = self.snet(z)
    self.snorm(found)
    return found


def with_outputs() -> nn.Module:
    """Output matrices of its own, which the published code does not have."""

    def forward(self, z, query=None):
        y, x = _apart(self, z), _apart(self, query)
        return self.out(_side_by_side(torch.softmax(y.shape[-1] ** -0.5 * x @ y.mT, dim=-1) @ y))

    model = _attention(forward)()
    for layer in model.cnet.layers:
        layer.fn.out = nn.Linear(DIM, DIM, bias=False).double()
    return model


FAULTS = {
    "the bases are transposed": Fault(_attention(_transposed), "by the weight itself"),
    "heads are interleaved": Fault(_attention(_interleaved), "heads are interleaved"),
    "no scale": Fault(_attention(_with(scale=1.0)), "the softmax has no scale"),
    "scale of the whole dimension": Fault(_attention(_with(scale=DIM**-0.5)), "the softmax has the scale d^-1/2"),
    "scale multiplied for divided": Fault(_attention(_with(scale=DIM_HEAD**0.5)), "the softmax has the scale p^1/2"),
    "softmax over the queries": Fault(_attention(_with(dim=-2)), "the softmax is over the queries"),
    "softmax over the heads": Fault(_attention(_with(dim=1)), "the softmax is over the heads"),
    "no softmax": Fault(_attention(_with(dim=None)), "there is no softmax"),
    "the sign of the step": Fault(_attention(_with(sign=-1)), "with sign -"),
    "no step": Fault(_attention(_with(step=1.0)), "is no known form"),
    "a causal mask": Fault(_attention(_with(mask=torch.tril)), "later tokens are masked"),
    "a mask the wrong way round": Fault(
        _attention(_with(mask=lambda a: torch.triu(a, min(0, a.shape[-1] - a.shape[-2])))), "is no known form"
    ),
    "the bases are not tied": Fault(_attention(_not_tied), "is no known form"),
    "heads are not mapped back": Fault(_attention(_no_way_back), "heads are left side by side"),
    "a value of its own": Fault(_attention(_with(values=lambda x, y: torch.sin(y))), "is no known form"),
    "a key of its own": Fault(_attention(_with(keys=lambda x, y: torch.sin(y))), "is no known form"),
    "queries attend to themselves": Fault(
        _attention(lambda self, z, query=None: _attend(self, query)), "queries attend to themselves"
    ),
    "large queries are clipped": Fault(
        _attention(lambda self, z, query=None: _attend(self, z, query.clamp(-50, 50))), "is no known form"
    ),
    "half precision inside": Fault(_attention(_in(torch.float16)), "computed in float16"),
    "single precision inside": Fault(_attention(_in(torch.float32)), "computed in float32"),
    "queries behind the LayerNorm of the tokens": Fault(
        _block(_queries_normed_by_hand), "a LayerNorm is applied to them on the way"
    ),
    "queries behind a plain LayerNorm": Fault(_block(_queries_plainly_normed), "query of cnet.layers.0.fn"),
    "tokens that are not normed": Fault(
        _block(_tokens_not_normed), "output of cnet.layers.0.norm to input of cnet.layers.0.fn"
    ),
    "no residual": Fault(_stack(_without_residual), "no skip"),
    "the update taken off": Fault(_stack(_subtracted), "Z - update"),
    "tokens in the residual": Fault(_stack(_added_to_tokens), "UNKNOWN: cnet.layers.0.skip"),
    "the first queries in every layer": Fault(_stack(_first_queries_throughout), "UNKNOWN: cnet.layers.0.skip"),
    "learned queries behind a LayerNorm": Fault(
        _whole(_around(queries=lambda a: F.layer_norm(a, a.shape[-1:]))), "a LayerNorm is applied to them on the way"
    ),
    "learned queries twice as large": Fault(_whole(_around(queries=lambda a: 2 * a)), "UNKNOWN: cls_emb"),
    "raw tokens are attended to": Fault(
        _whole(_around(tokens=_raw_tokens)), "UNKNOWN: output of snorm to input of cnet"
    ),
    "tokens that come without their LayerNorm": Fault(
        _whole(_around(tokens=_not_normed_tokens)), "UNKNOWN: output of snorm to input of cnet"
    ),
    "the tokens come in twice as large": Fault(
        _whole(_around(tokens=lambda self, z: self.snorm(self.snet(2 * z)))),
        "UNKNOWN: input of the model to input of snet",
    ),
    "self-attention: the bases are not tied": Fault(
        _self_attention(lambda self, z, query=None: _attend(self, z) @ self.proj.mT @ self.proj), "is no known form"
    ),
    "self-attention: the sign of the step": Fault(_self_attention(_with(sign=-1)), "with sign -"),
    "self-attention: no scale": Fault(_self_attention(_with(scale=1.0)), "is MSSA as in the paper"),
    "queries and tokens have changed places": Fault(
        _block(_exchanged), r"must run on tokens \(2, 6, 12\) in float64", refused=True
    ),
    "queries by the LayerNorm of the tokens": Fault(_block(_queries_normed), "got 2 calls", refused=True),
    "queries that do not come in": Fault(
        _stack(_without_query), "must take a tensor as 'query', got NoneType", refused=True
    ),
    "queries changed in place": Fault(_last_attention(_writes_to_its_queries), "changed in place", refused=True),
    "dropout in evaluation": Fault(_attention(_forgetful), "must give the same for the same input", refused=True),
}
NO_FAULTS = {
    "queries changed in place later": _stack(_in_place),
    "queries by position": _stack(_by_position),
    "queries by name before the tokens": _stack(_queries_first),
}
