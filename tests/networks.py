"""Small instances of srr's own torch networks, by the names of their layouts, and what to feed them."""

import numpy as np
import torch
from torch import nn

from verify.models.bert import Bert
from verify.models.cbsa import Cbsa
from verify.models.crate import Crate
from verify.models.crate_alpha import CrateAlpha
from verify.models.crate_gpt import CrateGpt
from verify.models.crate_mae import CrateMae
from verify.models.crate_overcomplete import CrateOvercomplete
from verify.models.depict import Depict, DepictDecoder
from verify.models.gpt2 import Gpt2
from verify.models.redunet import ReduNet
from verify.models.redunet_fourier import ReduNetFourier
from verify.models.tost import Tost
from verify.models.tost_lang import TostLanguage
from verify.models.vit import Vit

TEXT = {"vocabulary": 11, "dim": 12, "depth": 2, "heads": 3}
SMALL = {
    "crate": lambda: Crate(image_size=8, patch_size=2, num_classes=5, dim=12, depth=2, heads=3, dim_head=5),
    "crate_mae": lambda: CrateMae(image_size=8, patch_size=2, dim=12, depth=2, decoder_depth=3, heads=3),
    "crate_alpha": lambda: CrateAlpha(image_size=8, patch_size=2, num_classes=5, dim=12, depth=2, heads=3),
    "crate_gpt": lambda: CrateGpt(block_size=9, **TEXT),
    "crate_overcomplete": lambda: CrateOvercomplete(block_size=9, **TEXT),
    "tost": lambda: Tost(dim=12, depth=2, heads=3),
    "tost_lang": lambda: TostLanguage(block_size=9, **TEXT),
    "redunet": lambda: ReduNet(dim=6, classes=3, depth=2, lmbda=2.0),
    "redunet_fourier_1d": lambda: ReduNetFourier(size=(5,), channels=3, classes=2, depth=2, lmbda=2.0),
    "redunet_fourier_2d": lambda: ReduNetFourier(
        size=(4, 6), channels=3, classes=2, depth=2, kernel=(1, 3, 3), lmbda=2.0
    ),
    "depict": lambda: Depict(dim=12, depth=2, heads=3, dim_head=5),
    "depict_decoder": lambda: DepictDecoder(
        classes=4, dim=12, depth=1, heads=3, dim_head=5, cross_depth=2, cross_dim_head=2
    ),
    "cbsa": lambda: Cbsa(dim=12, depth=2, heads=3, dim_head=5),
    "vit": lambda: Vit(image_size=8, patch_size=2, num_classes=5, dim=12, depth=2, heads=3, scale=0.5),
    "bert": lambda: Bert(places=9, **TEXT),
    "gpt2": lambda: Gpt2(places=9, **TEXT),
}
"""Of no two sizes alike where the network allows it, so that no axis can be taken for another."""


def network(name: str, *, seed: int = 0, make=None) -> nn.Module:
    """One of them in float64, every tensor drawn anew, so that none is one or zero by construction."""
    model = (make or SMALL[name])().eval()
    rng = np.random.default_rng(seed)
    for key, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        drawn = rng.standard_normal(shape) / max(1.0, shape[-1] ** 0.5 if len(shape) > 1 else 1.0)
        if ".gam" in key:
            drawn = rng.dirichlet(np.ones(shape[0]))
        elif "norm" in key.lower() and key.endswith("weight"):
            drawn = 1 + 0.3 * drawn
        elif parameter.is_complex():  # of real filters, so that real signals stay real
            drawn = np.fft.fftn(drawn, axes=tuple(range(2, len(shape))))
        parameter.data = torch.tensor(drawn)
    return model


def feed(name: str, *, seed: int = 1) -> torch.Tensor:
    """Three samples of what it takes."""
    rng = np.random.default_rng(seed)
    if name in ("crate_gpt", "crate_overcomplete", "tost_lang", "bert", "gpt2"):
        return torch.tensor(rng.integers(0, 11, (3, 7)))
    shapes = {
        "redunet": (4, 6),
        "redunet_fourier_1d": (4, 3, 5),
        "redunet_fourier_2d": (4, 1, 4, 6),
        "tost": (3, 7, 12),
        "depict": (3, 7, 12),
        "depict_decoder": (3, 7, 12),
        "cbsa": (3, 82, 12),
    }
    drawn = torch.tensor(rng.standard_normal(shapes.get(name, (3, 3, 8, 8))))
    return drawn / torch.linalg.vector_norm(drawn, dim=-1, keepdim=True) if name == "redunet" else drawn


def feed_trunk(name: str) -> torch.Tensor:
    """What the trunk takes: three sets of tokens, where it is not the network itself."""
    if name not in ("crate", "crate_alpha", "vit", "bert"):
        return feed(name)
    return torch.tensor(np.random.default_rng(2).standard_normal((3, 7, 12)))
