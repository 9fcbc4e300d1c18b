"""Random matrix expressions from the grammar of `derivations.expression`, and random points to evaluate them at."""

from __future__ import annotations

import random
from dataclasses import dataclass

import sympy
from flint import fmpq

from derivations import expression as ex
from derivations.exact import JETS, RATIONALS, Point, jet
from derivations.words import Atom, Factor, Normal, Word

SIZES = {"n": 2, "d": 3, "K": 2}
t = sympy.Symbol("t")
ALPHA, BETA = sympy.symbols("alpha beta", positive=True)
A, B = ex.Matrix("A", "n", "d"), ex.Matrix("B", "d", "n")
S, V = ex.Matrix("S", "n", "n", symmetric=True), ex.Matrix("V", "n", 1)
U = ex.Matrix("U", "n", "d", "k")
SQUARE = sympy.Lambda(t, t**2 + t / 3)
RATIO = sympy.Lambda(t, 1 / (2 + t**2))
MATRICES = (A, B, S, V, U)


@dataclass
class Grammar:
    """Draws expressions of a shape, at most ``depth`` deep."""

    rng: random.Random
    member: bool = False
    """Whether the member U_k of the family may be used: inside a sum over k."""

    def scalar(self, depth: int) -> ex.Expr:
        square = self.rng.choice(["n", "d"])
        if depth == 0:
            return ex.expression(self.rng.choice([ALPHA, BETA / 2, sympy.Integer(-3), ALPHA - BETA]))
        match self.rng.randrange(5):
            case 0:
                return ex.Trace(self.matrix(square, square, depth - 1))
            case 1:
                arg = self.matrix(square, self.rng.choice(["n", "d", 1]), depth - 1)
                return ex.LogDet(ex.Identity(square) + ALPHA * arg @ arg.T)
            case 2:
                return self.scalar(depth - 1) + ex.Trace(self.matrix(square, square, depth - 1))
            case 3:
                return ALPHA * ex.Trace(self.matrix(square, square, depth - 1))
        return self.total(lambda g: ex.Trace(g.matrix(square, square, depth - 1)))

    def total(self, draw) -> ex.Expr:
        if self.member:
            return draw(self)
        return ex.Sum("k", draw(Grammar(self.rng, member=True)))

    def matrix(self, rows: ex.Size, cols: ex.Size, depth: int) -> ex.Expr:
        if depth <= 0:
            return self.leaf(rows, cols)
        inner = self.rng.choice(["n", "d"])
        options = [
            lambda: self.matrix(rows, cols, depth - 1) + self.matrix(rows, cols, depth - 1),
            lambda: self.rng.choice([ALPHA, BETA, sympy.Rational(-2, 3)]) * self.matrix(rows, cols, depth - 1),
            lambda: self.matrix(rows, inner, depth - 1) @ self.matrix(inner, cols, depth - 1),
            lambda: self.matrix(cols, rows, depth - 1).T,
            lambda: ex.Hadamard(self.matrix(rows, cols, depth - 1), self.matrix(rows, cols, depth - 1)),
            lambda: ex.Entrywise(self.rng.choice([SQUARE, RATIO]), self.matrix(rows, cols, depth - 1)),
            lambda: ex.Softmax(self.matrix(rows, cols, depth - 1)),
            lambda: self.total(lambda g: g.matrix(rows, cols, depth - 1)),
        ]
        if rows == cols:
            options += [
                lambda: self.inverse(rows, depth),
                lambda: ex.Diag(self.matrix(rows, 1, depth - 1)),
            ]
        if cols == 1:
            options.append(lambda: ex.Diagonal(self.matrix(rows, rows, depth - 1)))
        return self.rng.choice(options)()

    def inverse(self, size: ex.Size, depth: int) -> ex.Expr:
        arg = self.matrix(size, self.rng.choice(["n", "d"]), depth - 1)
        shift = ex.Identity(size) + BETA * arg @ arg.T
        product = self.rng.choice([lambda: arg @ arg.T @ ex.Inverse(shift), lambda: ex.Inverse(shift)])
        return product()

    def leaf(self, rows: ex.Size, cols: ex.Size) -> ex.Expr:
        known = {("n", "d"): [A, B.T, *[U] * self.member], ("d", "n"): [B, A.T, *[U.T] * self.member]}
        known |= {("n", "n"): [S, ex.Identity("n")], ("d", "d"): [ex.Identity("d"), B @ A], ("n", 1): [V, ex.Ones("n")]}
        known |= {("d", 1): [ex.Ones("d"), B @ V], (1, "n"): [V.T], (1, "d"): [V.T @ A], (1, 1): [V.T @ V]}
        return self.rng.choice(known[rows, cols])


def points(rng: random.Random, directions: dict[ex.Matrix, ex.Matrix]) -> tuple[Point, Point]:
    """A random rational point, and the jet through it along the directions, whose values the first point holds too."""

    def number() -> fmpq:
        return fmpq(rng.randint(-6, 6), rng.randint(1, 5))

    values, jets = {}, {}
    for X in MATRICES:
        rows, cols = (of if isinstance(of, int) else SIZES[of] for of in X.shape)
        for k in range(SIZES["K"] if X.index else 1):
            at = [[number() for _ in range(cols)] for _ in range(rows)]
            by = [[number() for _ in range(cols)] for _ in range(rows)]
            if X.symmetric:
                at, by = ([[m[min(i, j)][max(i, j)] for j in range(cols)] for i in range(rows)] for m in (at, by))
            moves = X in directions
            values[X.name, k] = at
            jets[X.name, k] = [
                [jet(x, h if moves else 0) for x, h in zip(*rows, strict=True)] for rows in zip(at, by, strict=True)
            ]
            if moves:
                values[directions[X].name, k] = by
    scalars = {"alpha": fmpq(rng.randint(1, 9), 7), "beta": fmpq(rng.randint(1, 9), 5)}
    return (
        Point(RATIONALS, SIZES, values, scalars),
        Point(JETS, SIZES, jets, {name: jet(value) for name, value in scalars.items()}),
    )


def expression_of(a: Normal) -> ex.Expr:
    """The expression that a normal form is, read off literally."""
    total = None
    for term, c in a.items:
        part: ex.Expr = ex.expression(c)
        for atom in term.scalars:
            part = part * _scalar(atom)
        if a.shape:
            part = part * _word(term.word, a.shape[0])
        for index, count in term.bound:
            part = ex.Sum(index, part, count)
        total = part if total is None else total + part
    if total is None:
        return 0 * ex.Ones(*a.shape) if a.shape else ex.expression(0)
    return total


def _word(word: Word, size: ex.Size = 1) -> ex.Expr:
    if not word:
        return ex.Identity(size)
    return ex.Product(tuple(_factor(factor) for factor in word)) if len(word) > 1 else _factor(word[0])


def _entrywise_product(words: tuple[Word, ...]) -> ex.Expr:
    size = next(word[0].rows for word in words if word)
    result = _word(words[0], size)
    for word in words[1:]:
        result = ex.Hadamard(result, _word(word, size))
    return result


def _scalar(atom: Atom) -> ex.Expr:
    match atom.kind:
        case "trace":
            return ex.Trace(_word(atom.content[0]))
        case "logdet":
            return ex.LogDet(expression_of(atom.content[0]))
        case "entries":
            product = _entrywise_product(atom.content)
            return ex.Trace(ex.Ones(product.shape[0]).T @ product @ ex.Ones(product.shape[1]))
    raise AssertionError(atom.kind)


def _factor(factor: Factor) -> ex.Expr:
    atom, content = factor.atom, factor.atom.content
    match atom.kind:
        case "matrix":
            made = content[0]
        case "ones":
            made = ex.Ones(atom.rows, atom.cols)
        case "inverse":
            made = ex.Inverse(expression_of(content[0]))
        case "softmax":
            made = ex.Softmax(expression_of(content[0]))
        case "entrywise":
            made = ex.Entrywise(content[0], expression_of(content[1]))
        case "hadamard":
            made = _entrywise_product(content)
        case "diag":
            made = ex.Diag(_word(content[0]))
        case "diagonal":
            made = ex.Diagonal(_word(content[0]))
        case _:
            raise AssertionError(atom.kind)
    return made.T if factor.transposed else made
