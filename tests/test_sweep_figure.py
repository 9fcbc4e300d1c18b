"""Figures of sweeps: what is drawn follows the results, and is the same for the same."""

import math
from xml.etree import ElementTree

import pytest

from verify import sweep, sweep_figure
from verify.cli import main
from verify.sweep import Cell, Design, Done

BASE = {"rules": ("exact",), "eps": (0.5,), "scale": (1.0,), "seed": 0}


def results(cells):
    """A design of cells with these parameters, and their rows."""
    made = [(Cell("phase-diagram", {**BASE, **given}, str(i)), rows) for i, (given, rows) in enumerate(cells)]
    design = Design("phase-diagram", tuple(cell for cell, _ in made))
    return design, {cell.key: Done(cell, tuple(rows), None) for cell, rows in made}


def row(fell, rule="exact", eps=0.5):
    return {"rule": rule, "eps": eps, "scale": 1.0, "step": 1.0, "draws": 4, "Rc fell": fell, "loss fell": 4}


def test_one_parameter_gives_a_line_for_each_kind_of_row():
    design, done = results(
        [({"scale": (s,)}, [row(int(s)), row(4 - int(s), rule="residual")]) for s in (1.0, 2.0, 3.0)]
    )
    (panel,) = sweep_figure.panels(design, done)  # the loss fell everywhere: there is nothing to see
    assert (panel.quantity, panel.swept) == ("Rc fell", ("scale",))
    assert {(n.place, n.label, n.value) for n in panel.numbers} == {
        *(((s,), "exact", int(s)) for s in (1.0, 2.0, 3.0)),
        *(((s,), "residual", 4 - int(s)) for s in (1.0, 2.0, 3.0)),
    }


def test_two_parameters_give_a_map_of_means_over_rows_and_seeds():
    design, done = results(
        [
            ({"scale": (s,), "eps": (e,), "seed": seed}, [row(s + 10 * e + seed, eps=e), row(s + 10 * e + seed + 2)])
            for s in (1.0, 2.0, 3.0)
            for e in (0.1, 1.0)
            for seed in (0, 4)
        ]
    )
    (panel,) = sweep_figure.panels(design, done)
    assert panel.swept == ("scale", "eps")  # the one of more values first
    means = sweep_figure._means(panel.numbers)
    assert means == pytest.approx({(s, e): s + 10 * e + 3 for s in (1.0, 2.0, 3.0) for e in (0.1, 1.0)})


def test_what_cannot_be_drawn_is_left_out():
    assert sweep_figure.drawn(*results([({"seed": 1}, [row(1)])]), ".svg") is None  # nothing was swept
    assert sweep_figure.drawn(*results([({"scale": (s,)}, []) for s in (1.0, 2.0)]), ".svg") is None  # all failed
    cells = [({"scale": (s,)}, [row(value)]) for s, value in ((1.0, None), (2.0, 1), (3.0, 2))]
    (panel,) = sweep_figure.panels(*results(cells))
    assert [n.place for n in panel.numbers] == [(2.0,), (3.0,)]


@pytest.mark.parametrize(
    "cells",
    [
        [({"scale": (10.0**k,)}, [row(k)]) for k in range(-2, 3)],
        [({"rules": (rule,), "scale": (s,)}, [row(s)]) for rule in ("exact", "residual") for s in (1.0, 2.0, 4.0)],
        [({"scale": (s,), "eps": (1 / s,)}, [row(s)]) for s in (1.0, 2.0, 4.0)],  # no grid
        [({"scale": (s,)}, [row(s * i, rule=f"rule {i}") for i in range(12)]) for s in (1.0, 2.0)],  # too many lines
    ],
)
def test_the_same_bytes_for_the_same_results(cells):
    first, second = (sweep_figure.drawn(*results(cells), ".svg") for _ in range(2))
    assert first == second
    ElementTree.fromstring(first)


def test_the_edges_of_a_map_lie_between_its_values():
    assert sweep_figure._edges([1.0, 2.0, 4.0], log=False) == pytest.approx([0.5, 1.5, 3.0, 5.0])
    assert sweep_figure._edges([0.1, 1.0, 10.0], log=True) == pytest.approx(
        [math.sqrt(0.1) * s for s in (0.1, 1, 10, 100)]
    )


def test_a_sweep_ends_with_its_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(
        'experiment = "phase-diagram"\n[fixed]\nrules = ["neumann"]\neps = [0.3]\ndraws = 2\nn = 2\nd = 2\n'
        "K = 1\np = 1\n[grid]\nscale = [[0.1], [1.0], [10.0]]\n"
    )
    assert main(["sweep", "s.toml"]) == 0
    assert "results.json, .csv, .svg" in capsys.readouterr().out
    design = sweep.read(tmp_path / "s.toml")
    drawn = sweep_figure.drawn(design, sweep.load(tmp_path / "s" / "cells.jsonl"), ".svg")
    assert (tmp_path / "s" / "results.svg").read_bytes() == drawn
