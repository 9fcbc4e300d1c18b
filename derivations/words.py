"""What normal forms are made of: sums of terms, each a coefficient, scalar atoms and a word of matrix factors.

Terms are kept in one form: bound indices are named by the height of their term, scalars are sorted, and a trace is the
least of its rotations and transposes. So two sums that are written alike are the same object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import count, permutations
from typing import Any

import sympy

from derivations import expression as ex
from derivations.expression import Size


@dataclass(frozen=True)
class Atom:
    """What products are made of; ``content`` holds words and normal forms."""

    kind: str
    content: tuple[Any, ...]
    rows: Size = 1
    cols: Size = 1
    symmetric: bool = False


@dataclass(frozen=True)
class Factor:
    """An atom or its transpose."""

    atom: Atom
    transposed: bool = False

    @property
    def rows(self) -> Size:
        return self.atom.cols if self.transposed else self.atom.rows

    @property
    def cols(self) -> Size:
        return self.atom.rows if self.transposed else self.atom.cols

    @property
    def T(self) -> Factor:
        match self.atom.kind:
            case "ones":
                return Factor(Atom("ones", (), self.atom.cols, self.atom.rows))
            case "inverse":
                return inverse_factor(self.atom.content[0].T)
        return self if self.atom.symmetric else Factor(self.atom, not self.transposed)


Word = tuple[Factor, ...]
Bound = tuple[tuple[str, str], ...]
"""Bound indices and how many members each runs over."""


@dataclass(frozen=True)
class Term:
    """Scalar atoms times a word, summed over the bound indices (index, count)."""

    scalars: tuple[Atom, ...] = ()
    word: Word = ()
    bound: Bound = ()


@dataclass(frozen=True)
class Normal:
    """A sum of terms with their coefficients."""

    shape: ex.Shape
    items: tuple[tuple[Term, sympy.Expr], ...]

    @property
    def T(self) -> Normal:
        return collect(self.shape[::-1], ((replace(t, word=transposed_word(t.word)), c) for t, c in self.items))


@cache
def size(of: Size) -> sympy.Expr:
    """A size as a positive integer symbol, or as the number it is."""
    return sympy.Integer(of) if isinstance(of, int) else sympy.Symbol(of, positive=True, integer=True)


# --- names of bound indices, order, coefficients ----------------------------------------------------------------


@cache
def sort_key(a: Any) -> str:
    """What words, atoms and terms are ordered by."""
    return repr(a)


@cache
def _coefficient(c: sympy.Expr) -> sympy.Expr:
    return sympy.cancel(sympy.together(c))


@cache
def reduced_function(f: sympy.Lambda) -> sympy.Lambda:
    """A function of one variable in the form that equal rational functions share."""
    (x,) = f.variables
    expr = f.expr.subs(x, _ENTRY)
    return sympy.Lambda(_ENTRY, _coefficient(expr) if expr.is_rational_function(_ENTRY) else expr)


_ENTRY = sympy.Dummy("entry", real=True)  # like no parameter


@cache
def free_of(a: Any) -> frozenset[str]:
    """The indices of families in it that nothing in it binds."""
    if isinstance(a, ex.Matrix):
        return frozenset({a.index} - {""})
    if isinstance(a, Term):
        inside: frozenset[str] = free_of(a.scalars) | free_of(a.word)
        return inside - {index for index, _ in a.bound}
    return frozenset().union(*(free_of(part) for part in _parts(a)))


def _parts(a: Any) -> Iterator[Any]:
    if isinstance(a, tuple):
        yield from a
    elif is_dataclass(a):
        yield from (getattr(a, f.name) for f in fields(a))


@cache
def _height(a: Any) -> int:
    # Bound indices are named after the height of their term, so that a name never means two things at once.
    return max((_height(part) for part in _parts(a)), default=0) + isinstance(a, Term)


def renamed(a: Any, names: dict[str, str]) -> Any:
    """The same with free indices renamed."""
    if not names or not (free_of(a) & names.keys()):
        return a
    if isinstance(a, ex.Matrix):
        return replace(a, index=names.get(a.index, a.index))
    if isinstance(a, tuple):
        return tuple(renamed(part, names) for part in a)
    if isinstance(a, Term):
        names = {old: new for old, new in names.items() if old not in {index for index, _ in a.bound}}
    changed = type(a)(**{f.name: renamed(getattr(a, f.name), names) for f in fields(a)})
    return _reordered(changed)


def _reordered(a: Any) -> Any:
    # What is kept sorted must be sorted again once names have changed.
    if isinstance(a, Normal):
        return collect(a.shape, a.items)
    if isinstance(a, Term):
        return replace(a, scalars=tuple(sorted(a.scalars, key=sort_key)))
    if isinstance(a, Atom) and a.kind == "trace":
        return trace_atom(a.content[0])
    if isinstance(a, Atom) and a.kind in ("hadamard", "entries"):
        return replace(a, content=tuple(sorted(a.content, key=sort_key)))
    return a


def _canonical(term: Term) -> Term:
    if term.word and term.word[0].rows == term.word[-1].cols == 1:  # a number is its own transpose
        term = replace(term, word=min(term.word, transposed_word(term.word), key=sort_key))
    if not term.bound:
        return replace(term, scalars=tuple(sorted(term.scalars, key=sort_key)))
    level = _height(Term(term.scalars, term.word))
    candidates = []
    for order in permutations(term.bound):
        names = {index: f"{level}.{i}" for i, (index, _) in enumerate(order)}
        scalars, word = renamed(term.scalars, names), renamed(term.word, names)
        bound = tuple((names[index], count) for index, count in order)
        candidates.append(Term(tuple(sorted(scalars, key=sort_key)), word, bound))
    return min(candidates, key=sort_key)


def collect(shape: ex.Shape, items: Iterable[tuple[Term, sympy.Expr]]) -> Normal:
    """The sum of terms with coefficients, like terms taken together."""
    total: dict[Term, sympy.Expr] = {}
    for term, c in items:
        canonical = _canonical(term)
        total[canonical] = total.get(canonical, sympy.Integer(0)) + c
    kept = ((term, _coefficient(c)) for term, c in total.items())
    return Normal(shape, tuple(sorted(((t, c) for t, c in kept if c != 0), key=sort_key)))


def fresh(term: Term) -> Term:
    """The term with new names for its bound indices, which nothing else has."""
    if not term.bound:
        return term
    names = {index: f"?{next(_NAMES)}" for index, _ in term.bound}
    bare = renamed(Term(term.scalars, term.word), names)
    return Term(bare.scalars, bare.word, tuple((names[index], count) for index, count in term.bound))


_NAMES = count()


# --- words ------------------------------------------------------------------------------------------------------


def transposed_word(word: Word) -> Word:
    """The transpose of a product."""
    return tuple(factor.T for factor in reversed(word))


def rotations(word: Word) -> list[Word]:
    """The products that have the same trace."""
    return [word[i:] + word[:i] for i in range(len(word))]


def trace_atom(word: Word) -> Atom:
    """tr of a word."""
    return Atom("trace", (min(rotations(word) + rotations(transposed_word(word)), key=sort_key),))


def diagonal_factor(word: Word) -> Factor:
    """diag of a word, as a column."""
    return Factor(Atom("diagonal", (min(word, transposed_word(word), key=sort_key),), word[0].rows, 1))


def inverse_factor(S: Normal) -> Factor:
    """S⁻¹."""
    return Factor(Atom("inverse", (S,), *S.shape, symmetric=S == S.T))


def is_ones(word: Word) -> bool:
    """Whether a word is a matrix of ones."""
    return len(word) == 1 and word[0].atom.kind == "ones"


def hadamard_words(words: Iterable[Word]) -> list[Word]:
    """The factors of an entrywise product, those of products within it among them."""
    flat: list[Word] = []
    for word in words:
        if len(word) == 1 and word[0].atom.kind == "hadamard":
            inside = word[0].atom.content
            flat += [transposed_word(w) for w in inside] if word[0].transposed else inside
        elif not is_ones(word) and (word or () not in flat):  # I ∘ I = I
            flat.append(word)
    return sorted(flat, key=sort_key)


def entries_atom(words: list[Word]) -> Atom:
    """The sum over the entries of an entrywise product."""
    both = (tuple(words), tuple(sorted((transposed_word(w) for w in words), key=sort_key)))
    return Atom("entries", min(both, key=sort_key))


# --- products and patterns ---------------------------------------------------------------------------------------


def joined(a: Term, b: Term) -> Term:
    """The product of two terms whose bound indices differ."""
    return Term((*a.scalars, *b.scalars), (*a.word, *b.word), (*a.bound, *b.bound))


def times(a: Normal, b: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
    """The terms of a product."""
    for s, c in a.items:
        for t, e in b.items:
            yield joined(fresh(s), fresh(t)), c * e


def hadamard_product(a: Normal, b: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
    """The terms of an entrywise product."""
    if a.shape == (1, 1):
        yield from times(a, b)
        return
    for one, c in a.items:
        for other, e in b.items:
            s, t = fresh(one), fresh(other)
            words = hadamard_words([s.word, t.word])
            if not words:
                word: Word = (Factor(Atom("ones", (), *a.shape)),)
            elif len(words) == 1:
                word = words[0]
            else:
                word = (Factor(Atom("hadamard", tuple(words), *a.shape)),)
            yield Term((*s.scalars, *t.scalars), word, (*s.bound, *t.bound)), c * e


def _kind(a: Factor | Atom) -> tuple[Any, ...]:
    return (a.kind,) if isinstance(a, Atom) else (a.transposed, a.atom.kind, a.rows, a.cols)


def matched_names(pattern: tuple[Any, ...], target: tuple[Any, ...]) -> dict[str, str] | None:
    """Names that turn ``pattern`` into ``target``: the indices of a rule stand for any."""
    if pattern == target:
        return {}
    if [_kind(part) for part in pattern] != [_kind(part) for part in target]:  # for speed: names change no kind
        return None
    mine, theirs = sorted(free_of(pattern)), sorted(free_of(target))
    if not mine or len(mine) > len(theirs):
        return None
    for choice in permutations(theirs, len(mine)):
        names = dict(zip(mine, choice, strict=True))
        if renamed(pattern, names) == target:
            return names
    return None
