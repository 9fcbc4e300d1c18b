"""Are trained networks unrolled optimisers of the sparse rate reduction? Small ones, trained on digits and audited.

CRATE as its code has it; the same with its output matrix tied to the bases; exact gradient steps; descent layers; and
a standard transformer, whose value projections stand for the bases. Each is trained with three seeds to classify the
8 × 8 digits that scikit-learn carries with it, and audited on the images held out, beside what it was before training
and beside null controls. Minutes on one core:

    python -m verify.experiments.trained_digits

prints the table and writes its numbers beside this file, network by network: broken off, it goes on where it was.
``--table`` prints the table of the numbers that are there, ``--fresh`` trains again, ``--seeds`` and ``--epochs`` make
it shorter.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.auditing import coding, counterfactuals, nulls
from verify.auditing.half import COSINE, LARGEST, STEP
from verify.auditing.result import Audit
from verify.auditing.run import audit
from verify.auditing.verdict import MORE, NOT, SPECIFIC, UNCLEAR, Verdict, judge, verdicts
from verify.experiments.small_networks import EPS, LAM, NAMES, SAID, layout, network
from verify.output import write_all
from verify.terminal import progress

RESULT = Path(__file__).with_suffix(".json")
EPOCHS, BATCH, RATE, DECAY = 40, 64, 2e-3, 0.05
TRAINING = 1437
"""Images trained on: four fifths of 1,797; the others are audited."""


def images() -> tuple[Tensor, Tensor]:
    """All images ``(1797, 1, 8, 8)`` between 0 and 1, in one random order, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(digits.images))
    pixels = torch.from_numpy((digits.images[order] / 16).astype(np.float32))
    return pixels[:, None], torch.from_numpy(digits.target[order])


def train(model: nn.Module, pixels: Tensor, labels: Tensor, *, epochs: int, seed: int) -> None:
    """AdamW with a cosine schedule on cross-entropy."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(pixels), generator=generator).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(pixels[chosen]), labels[chosen]).backward()
            optimiser.step()
        schedule.step()
    model.eval()


def run(jobs: Sequence[tuple[str, int]], epochs: int) -> Iterator[dict[str, Any]]:
    """Train and audit networks, each a name and a seed."""
    pixels, labels = images()
    seen, held = slice(0, TRAINING), slice(TRAINING, None)
    for name, seed in jobs:
        described, constants = layout(name)
        torch.manual_seed(seed)
        model = network(name)
        untrained = copy.deepcopy(model)
        train(model, pixels[seen], labels[seen], epochs=epochs, seed=seed)
        with torch.no_grad():
            right = float((model(pixels[held]).argmax(1) == labels[held]).double().mean())
        found = audit(
            model,
            pixels[held],
            layout=described,
            constants=constants,
            eps=EPS,
            lam=LAM,
            twin=untrained,
            batch=60,
            seed=seed,
            name=name,
        )
        yield {"network": name, "seed": seed, "epochs": epochs, "accuracy": right, **summary(found)}


def summary(found: Audit) -> dict[str, Any]:
    """What the table is made of, for every half: verdicts, and means over samples; of the twin too."""
    rows = []
    form = found.main
    for half, twin in found.paired():
        row: dict[str, Any] = {"layer": half.layer, "half": half.half}
        row |= {"verdicts": {}, "means": {}, "changes": {}}
        for verdict in verdicts(found, form):
            if (verdict.layer, verdict.half) == (half.layer, half.half):
                row["verdicts"][verdict.quantity] = {
                    "way": verdict.way,
                    "shown": verdict.shown,
                    "word": verdict.word,
                    "untrained": verdict.untrained,
                    "as often": [null.name for null in verdict.as_often],
                }
        for quantity in (COSINE, STEP, LARGEST, coding.RESIDUAL):
            here = half.get(quantity, "value", form)
            there = None if twin is None else twin.get(quantity, "value", form)
            if here is not None and there is not None:
                row["means"][quantity] = [_short(here.mean), _short(there.mean)]
        others = [
            ("Rc", name) for name in (*nulls.UPDATES, *nulls.BASES, *counterfactuals.TIED, *counterfactuals.STEPS)
        ]
        lasso = [(coding.LASSO, coding.RELU), (coding.LASSO, coding.ZERO)]
        plain = [(quantity, "") for quantity in ("R", "Rc", "official Rc", "dR", "SRR", coding.LASSO, "nonzero")]
        for quantity, control in (*plain, *others, *lasso):
            both = [None if h is None else h.get(quantity, "change", form, control) for h in (half, twin)]
            if both[0] is not None and both[1] is not None:
                name = f"{quantity}, {control}" if control else quantity
                row["changes"][name] = [[_short(s.mean), s.below, s.above] for s in both if s is not None]
        if half.half == "compress":
            row["forms"] = {str(f): _in_form(judge(half, twin, "Rc", f)) for f in half.forms("Rc")}
        rows.append(row)
    return {
        "samples": found.samples,
        "form": str(form),
        "halves": rows,
        "weights": [{name: _short(value) for name, value in weights.items()} for weights in found.weights],
    }


def _in_form(verdict: Verdict | None) -> list[Any]:
    return [] if verdict is None else [verdict.way, verdict.shown, verdict.word, verdict.untrained]


def _short(x: float) -> float:
    return float(f"{x:.4g}")


# --- the table ----------------------------------------------------------------------------------------------

WORDS = (SPECIFIC, MORE, NOT, UNCLEAR)


def table(results: Sequence[dict[str, Any]]) -> str:
    """Per network, over layers and seeds: trained, and as it was before."""
    lines = [
        f"{'':9}{'right':>6} {'Rc fell':>11} {'verdict':>9} {'official':>11} {'cosine':>13} {'SRR rose':>11}",
        f"{'':9}{'':>6} {'':>11} {'s/m/n/u':>9} {'fell':>11} {'with -grad':>13} {'both halves':>11}",
    ]
    for name in dict.fromkeys(result["network"] for result in results):
        runs = [result for result in results if result["network"] == name]
        halves = [half for result in runs for half in result["halves"]]
        first = [half for half in halves if half["half"] == "compress"]
        samples = runs[0]["samples"]
        right = np.mean([result["accuracy"] for result in runs])
        words = [half["verdicts"]["Rc"]["word"] for half in first]
        tally = "/".join(str(words.count(word)) for word in WORDS)
        cosine = [np.mean([half["means"][COSINE][i] for half in first]) for i in (0, 1)]
        lines.append(
            f"{name:9}{right:6.1%} {_both(first, 'Rc', 1, samples):>11} {tally:>9} "
            f"{_both(first, 'official Rc', 1, samples):>11} {cosine[0]:+5.2f} ({cosine[1]:+5.2f}) "
            f"{_both(halves, 'SRR', 2, samples):>11}"
        )
    lines.append(
        "in parentheses before training; shares of all samples, layers and seeds; of the\n"
        "first halves but for SRR. verdict: on how many layers and seeds what Rc did was\n"
        "specific to the layer, more than null controls do, not specific, or unclear;\n"
        "official: the measure of CRATE's code, which normalises tokens in every head."
    )
    return "\n".join(lines)


def _both(halves: Sequence[dict[str, Any]], quantity: str, place: int, samples: int) -> str:
    shares = [sum(half["changes"][quantity][i][place] for half in halves) / len(halves) / samples for i in (0, 1)]
    return f"{shares[0]:.0%} ({shares[1]:.0%})"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m verify.experiments.trained_digits", description=SAID_OF_IT)
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the numbers go")
    parser.add_argument("--fresh", action="store_true", help="train again what is there already")
    parser.add_argument("--table", action="store_true", help="print the table of the numbers that are there")
    given = parser.parse_args()
    if given.table:
        results = json.loads(given.out.read_text())
    else:
        torch.set_num_threads(1)
        wanted = [(name, seed) for name in given.networks for seed in given.seeds]
        results = [] if given.fresh else _there(given.out, wanted, given.epochs)
        done = {(result["network"], result["seed"]) for result in results}
        jobs = [job for job in wanted if job not in done]
        with progress(len(jobs), "training") as advance:
            for result in run(jobs, given.epochs):
                results.append(result)
                results.sort(key=lambda r: wanted.index((r["network"], r["seed"])))
                write_all([(given.out, json.dumps(results, separators=(",", ":")) + "\n")])
                advance(f"{result['network']}, seed {result['seed']}: {result['accuracy']:.1%} right")
    for name in dict.fromkeys(result["network"] for result in results):
        print(f"{name:9}{SAID[name]}")
    print()
    print(table(results))


def _there(path: Path, wanted: Sequence[tuple[str, int]], epochs: int) -> list[dict[str, Any]]:
    results = json.loads(path.read_text()) if path.exists() else []
    return [r for r in results if (r["network"], r["seed"]) in wanted and r["epochs"] == epochs]


SAID_OF_IT = "Train small networks on digits and audit them, beside themselves before training."

if __name__ == "__main__":
    main()
