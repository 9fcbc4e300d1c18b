"""BERT in torch, under the names of the transformers library."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.vit import attend

FLOOR = 1e-12


class SelfAttention(nn.Module):
    """[softmax(p^−½ Q_kK_kᵀ) V_k]_k."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        return attend(self.query(z), self.key(z), self.value(z), self.num_attention_heads)


class Output(nn.Module):
    """N(Y Wᵀ + b + Z)."""

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=FLOOR)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(y) + z)


class Attention(nn.Module):
    """N(Z + attention(Z))."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self = SelfAttention(dim, heads)
        self.output = Output(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.output(self.self(z), z)


class Intermediate(nn.Module):
    """GELU(Z Wᵀ + b)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, hidden)

    def forward(self, z: Tensor) -> Tensor:
        return F.gelu(self.dense(z))


class Layer(nn.Module):
    """N(Z + attention(Z)), then N(Z + MLP(Z)): LayerNorm comes last."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.intermediate = Intermediate(dim, hidden)
        self.output = Output(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        z = self.attention(z)
        return self.output(self.intermediate(z), z)


class Encoder(nn.Module):
    """The layers, tokens ``(b, n, d)`` to tokens."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(dim, heads, hidden) for _ in range(depth))

    def forward(self, z: Tensor) -> Tensor:
        for layer in self.layer:
            z = layer(z)
        return z


class Embeddings(nn.Module):
    """N of the sum of the embeddings of word, place and kind."""

    def __init__(self, vocabulary: int, places: int, kinds: int, dim: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, dim)
        self.position_embeddings = nn.Embedding(places, dim)
        self.token_type_embeddings = nn.Embedding(kinds, dim)
        self.LayerNorm = nn.LayerNorm(dim, eps=FLOOR)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        z = self.word_embeddings(tokens) + self.position_embeddings(places)
        return self.LayerNorm(z + self.token_type_embeddings(torch.zeros_like(tokens)))


class Bert(nn.Module):
    """Tokens ``(b, n)``, all of kind 0 and none of them padding, to features ``(b, n, d)``; nothing after the layers.

    Devlin et al. 2019 (arXiv 1810.04805).
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        places: int,
        dim: int,
        depth: int,
        heads: int,
        kinds: int = 2,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = Embeddings(vocabulary, places, kinds, dim)
        self.encoder = Encoder(dim, depth, heads, 4 * dim if hidden is None else hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.encoder(self.embeddings(tokens))
