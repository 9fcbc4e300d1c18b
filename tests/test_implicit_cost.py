"""The flops of the compression steps, counted; and the comparison that is made with them."""

import numpy as np
import pytest

from srr import implicit
from verify import implicit_bench, implicit_cost


@pytest.mark.parametrize(("n", "d", "K", "p"), [(64, 16, 4, 4), (20, 12, 2, 3), (3, 16, 2, 8)])
def test_flops_of_the_implicit_step(n, d, K, p):
    """What torch counts are the matrix products, among them that of the check that the bases are orthonormal."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((d, K * p)))[0].reshape(d, K, p).swapaxes(0, 1)
    Z = torch.tensor(rng.standard_normal((n, d)))
    with FlopCounterMode(display=False) as counter:
        implicit.implicit_step(Z, torch.tensor(U), eps=0.5, step=1.0)
    products = implicit_cost.implicit_step(n, d, K, p) - K * implicit_cost.EIGEN * min(n, p) ** 3
    assert counter.get_total_flops() == products + 2 * d * (K * p) ** 2


def test_as_many_explicit_steps_cost_as_much():
    for sizes in ((64, 16, 4, 4), (197, 192, 3, 64), (3, 16, 2, 8)):
        steps = implicit_cost.explicit_steps_at_the_cost_of_an_implicit_one(*sizes)
        assert steps * implicit_cost.explicit_step(*sizes) >= implicit_cost.implicit_step(*sizes)
        assert (steps - 1) * implicit_cost.explicit_step(*sizes) < implicit_cost.implicit_step(*sizes)


def test_where_the_implicit_step_pays():
    """A step of size 100/L_c takes off many times as much as explicit steps of its cost, if ε is small."""
    rows = list(implicit_bench.run(n=24, d=12, K=3, p=4, rounds=1))
    for eps, times in ((0.01, 30), (0.1, 50), (1.0, 1.1)):
        here = [row for row in rows if row.eps == eps]
        explicit = max(row.removed for row in here if row.step == "explicit")
        ours = next(row.removed for row in here if row.step == "implicit" and row.length == 100)
        assert ours > times * explicit
    assert all(row.seconds >= 0 and row.removed > 0 for row in rows)
