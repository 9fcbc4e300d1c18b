"""The normal form that decides whether two expressions are equal for all sizes.

A normal form is a sum of terms: a coefficient (a rational function of the scalar parameters), scalar atoms (traces, log
determinants, sums of entries), and a word of matrix factors, summed over the bound members of families. Products are
multiplied out, transposes moved to the factors, traces read up to rotation and transposition. What else is used are the
definitions of the atoms: S⁻¹S = I (as a rewriting of the longest word of S), orthonormality and completeness of a
family where its matrices declare them, and the rewriting rules given.

Every rewriting is a true equation, so two expressions of one normal form are equal. The converse is not claimed: where
equal expressions keep different normal forms, a rule of `derivations.rules` is missing from the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import count, permutations
from typing import Any

import sympy

from derivations import expression as ex
from derivations.calculus import differential
from derivations.expression import Expr, Size


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
                return _inverse_factor(self.atom.content[0].T)
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
        return _collect(self.shape[::-1], ((replace(t, word=_transposed(t.word)), c) for t, c in self.items))


@dataclass(frozen=True)
class Rule:
    """An equation used from left to right; the left side is one word, one scalar atom or a size.

    Its indices stand for any.

    One that is ``assumed`` is a hypothesis of the derivation, or defines a matrix that the statement does not name.
    """

    left: Expr
    right: Expr
    assumed: bool = True
    defines: tuple[ex.Matrix, ...] = ()
    """Matrices that the equation defines, which the statement must not name."""


@cache
def normal(a: Expr, rules: tuple[Rule, ...] = ()) -> Normal:
    """The normal form of ``a`` under ``rules``."""
    return _Reader(rules).read(a)


def equal(a: Expr, b: Expr, rules: tuple[Rule, ...] = ()) -> bool:
    """Whether ``a`` and ``b`` have one normal form under ``rules``."""
    return a.shape == b.shape and normal(a, rules) == normal(b, rules)


@cache
def size(of: Size) -> sympy.Expr:
    """A size as a positive integer symbol, or as the number it is."""
    return sympy.Integer(of) if isinstance(of, int) else sympy.Symbol(of, positive=True, integer=True)


# --- names of bound indices, order, coefficients ----------------------------------------------------------------


@cache
def _key(a: Any) -> str:
    return repr(a)


@cache
def _coefficient(c: sympy.Expr) -> sympy.Expr:
    return sympy.cancel(sympy.together(c))


@cache
def _reduced_function(f: sympy.Lambda) -> sympy.Lambda:
    (x,) = f.variables
    expr = f.expr.subs(x, _ENTRY)
    return sympy.Lambda(_ENTRY, _coefficient(expr) if expr.is_rational_function(_ENTRY) else expr)


_ENTRY = sympy.Symbol("entry", real=True)


@cache
def _free(a: Any) -> frozenset[str]:
    if isinstance(a, ex.Matrix):
        return frozenset({a.index} - {""})
    if isinstance(a, Term):
        inside: frozenset[str] = _free(a.scalars) | _free(a.word)
        return inside - {index for index, _ in a.bound}
    return frozenset().union(*(_free(part) for part in _parts(a)))


def _parts(a: Any) -> Iterator[Any]:
    if isinstance(a, tuple):
        yield from a
    elif is_dataclass(a):
        yield from (getattr(a, f.name) for f in fields(a))


@cache
def _height(a: Any) -> int:
    # Bound indices are named after the height of their term, so that a name never means two things at once.
    return max((_height(part) for part in _parts(a)), default=0) + isinstance(a, Term)


def _renamed(a: Any, names: dict[str, str]) -> Any:
    if not names or not (_free(a) & names.keys()):
        return a
    if isinstance(a, ex.Matrix):
        return replace(a, index=names.get(a.index, a.index))
    if isinstance(a, tuple):
        return tuple(_renamed(part, names) for part in a)
    if isinstance(a, Term):
        names = {old: new for old, new in names.items() if old not in {index for index, _ in a.bound}}
    changed = type(a)(**{f.name: _renamed(getattr(a, f.name), names) for f in fields(a)})
    return _reordered(changed)


def _reordered(a: Any) -> Any:
    # What is kept sorted must be sorted again once names have changed.
    if isinstance(a, Normal):
        return _collect(a.shape, a.items)
    if isinstance(a, Term):
        return replace(a, scalars=tuple(sorted(a.scalars, key=_key)))
    if isinstance(a, Atom) and a.kind == "trace":
        return _trace_atom(a.content[0])
    if isinstance(a, Atom) and a.kind in ("hadamard", "entries"):
        return replace(a, content=tuple(sorted(a.content, key=_key)))
    return a


def _canonical(term: Term) -> Term:
    if term.word and term.word[0].rows == term.word[-1].cols == 1:  # a number is its own transpose
        term = replace(term, word=min(term.word, _transposed(term.word), key=_key))
    if not term.bound:
        return replace(term, scalars=tuple(sorted(term.scalars, key=_key)))
    level = _height(Term(term.scalars, term.word))
    candidates = []
    for order in permutations(term.bound):
        names = {index: f"{level}.{i}" for i, (index, _) in enumerate(order)}
        scalars, word = _renamed(term.scalars, names), _renamed(term.word, names)
        bound = tuple((names[index], count) for index, count in order)
        candidates.append(Term(tuple(sorted(scalars, key=_key)), word, bound))
    return min(candidates, key=_key)


def _collect(shape: ex.Shape, items: Iterable[tuple[Term, sympy.Expr]]) -> Normal:
    total: dict[Term, sympy.Expr] = {}
    for term, c in items:
        canonical = _canonical(term)
        total[canonical] = total.get(canonical, sympy.Integer(0)) + c
    kept = ((term, _coefficient(c)) for term, c in total.items())
    return Normal(shape, tuple(sorted(((t, c) for t, c in kept if c != 0), key=_key)))


def _fresh(term: Term) -> Term:
    """The term with new names for its bound indices, which nothing else has."""
    if not term.bound:
        return term
    names = {index: f"?{next(_NAMES)}" for index, _ in term.bound}
    bare = _renamed(Term(term.scalars, term.word), names)
    return Term(bare.scalars, bare.word, tuple((names[index], count) for index, count in term.bound))


_NAMES = count()


# --- words ------------------------------------------------------------------------------------------------------


def _transposed(word: Word) -> Word:
    return tuple(factor.T for factor in reversed(word))


def _rotations(word: Word) -> list[Word]:
    return [word[i:] + word[:i] for i in range(len(word))]


def _trace_atom(word: Word) -> Atom:
    return Atom("trace", (min(_rotations(word) + _rotations(_transposed(word)), key=_key),))


def _diagonal_factor(word: Word) -> Factor:
    return Factor(Atom("diagonal", (min(word, _transposed(word), key=_key),), word[0].rows, 1))


def _inverse_factor(S: Normal) -> Factor:
    return Factor(Atom("inverse", (S,), *S.shape, symmetric=S == S.T))


def _ones(word: Word) -> bool:
    return len(word) == 1 and word[0].atom.kind == "ones"


def _hadamard_words(words: Iterable[Word]) -> list[Word]:
    flat: list[Word] = []
    for word in words:
        if len(word) == 1 and word[0].atom.kind == "hadamard":
            inside = word[0].atom.content
            flat += [_transposed(w) for w in inside] if word[0].transposed else inside
        elif not _ones(word) and (word or () not in flat):  # I ∘ I = I
            flat.append(word)
    return sorted(flat, key=_key)


def _entries_atom(words: list[Word]) -> Atom:
    both = (tuple(words), tuple(sorted((_transposed(w) for w in words), key=_key)))
    return Atom("entries", min(both, key=_key))


# --- reading and rewriting --------------------------------------------------------------------------------------

Rewritten = list[tuple[Term, sympy.Expr]]
REWRITINGS = 10_000
"""Rewritings of one expression after which its rules count as going round in circles."""


class _Reader:
    """Reads expressions into normal forms under a list of rules."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.sizes = {rule.left.value: rule.right.value for rule in rules if _of_a_size(rule)}  # type: ignore[attr-defined]
        rules = tuple(rule for rule in rules if not _of_a_size(rule))
        read = [self._pattern(rules[:i], rule) for i, rule in enumerate(rules)]
        transposed = [(replace(left, word=_transposed(left.word)), right.T) for left, right in read if left.word]
        self.patterns = read + [(left, right) for left, right in transposed if not _undoes(left, right, read)]

    @staticmethod
    def _pattern(earlier: tuple[Rule, ...], rule: Rule) -> tuple[Term, Normal]:
        left, right = normal(rule.left), normal(rule.right, earlier)
        if len(left.items) != 1:
            raise ValueError(f"the left side of a rule must be a single term, got {len(left.items)} terms")
        term, c = left.items[0]
        if bool(term.word) == bool(term.scalars) or len(term.scalars) > 1 or term.bound:
            raise ValueError("the left side of a rule must be one word or one scalar atom")
        return term, _collect(right.shape, ((t, factor / c) for t, factor in right.items))

    def read(self, a: Expr) -> Normal:
        return self._reduced(a.shape, list(self._raw(a)))

    def _raw(self, a: Expr) -> Iterator[tuple[Term, sympy.Expr]]:
        one = sympy.Integer(1)
        match a:
            case ex.Scalar(value=value):
                yield Term(), value
            case ex.Identity():
                yield Term(), one
            case ex.Ones(rows=rows, cols=cols):
                yield Term(word=() if rows == cols == 1 else (Factor(Atom("ones", (), rows, cols)),)), one
            case ex.Matrix():
                symmetric = a.symmetric or a.diagonal or a.psd
                yield Term(word=(Factor(Atom("matrix", (a,), a.rows, a.cols, symmetric)),)), one
            case ex.Add(terms=terms):
                for part in terms:
                    yield from self.read(part).items
            case ex.Scale(factor=left, arg=right) | ex.Product(factors=(left, right)):
                yield from _times(self.read(left), self.read(right))
            case ex.Product(factors=(only,)):
                yield from self.read(only).items
            case ex.Product(factors=factors):
                yield from _times(self.read(factors[0]), self.read(ex.Product(factors[1:])))
            case ex.Transpose(arg=arg):
                yield from self.read(arg).T.items
            case ex.Sum(index=index, arg=arg, count=count):
                for term, c in self.read(arg).items:
                    if index in _free(term):
                        yield replace(term, bound=(*term.bound, (index, count))), c
                    else:
                        yield term, c * size(count)
            case ex.Inverse(arg=arg):
                yield from self._inverse(self.read(arg))
            case ex.Trace(arg=arg):
                for term, c in self.read(arg).items:
                    if term.word:
                        yield Term((*term.scalars, _trace_atom(term.word)), (), term.bound), c
                    else:
                        yield term, c * size(arg.shape[0])  # type: ignore[misc]
            case ex.LogDet(arg=arg):
                yield from self._logdet(self.read(arg))
            case ex.Softmax(arg=arg):
                yield Term(word=(Factor(Atom("softmax", (self.read(arg),), *a.shape)),)), one
            case ex.Entrywise(function=function, arg=arg):
                applied = Atom("entrywise", (_reduced_function(function), self.read(arg)), *a.shape)
                yield Term(word=(Factor(applied),)), one
            case ex.Hadamard(left=left, right=right):
                yield from _hadamard(self.read(left), self.read(right))
            case ex.Diag(arg=arg):
                for term, c in self.read(arg).items:
                    atom = Atom("diag", (term.word,), *a.shape, symmetric=True)
                    yield replace(term, word=() if _ones(term.word) else (Factor(atom),)), c
            case ex.Differential(arg=arg, matrix=matrix, along=along):
                yield from self.read(differential(arg, {matrix: along})).items
            case ex.Diagonal(arg=arg) if arg.shape == (1, 1):
                yield from self.read(arg).items
            case ex.Diagonal(arg=arg):
                for term, c in self.read(arg).items:
                    column = _diagonal_factor(term.word) if term.word else Factor(Atom("ones", (), a.shape[0], 1))
                    yield replace(term, word=(column,)), c
            case _:
                raise TypeError(f"no normal form for {type(a).__name__}")

    def _inverse(self, S: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
        if not S.items:
            raise ZeroDivisionError("inverse of a matrix that is zero")
        if len(S.items) == 1:
            term, c = S.items[0]
            outside = [atom for atom in term.scalars if not _free(atom) & {index for index, _ in term.bound}]
            if outside:  # (sA)⁻¹ = s⁻¹A⁻¹ for a number s
                inside = replace(term, scalars=tuple(atom for atom in term.scalars if atom not in outside))
                numbers = tuple(_reciprocal(atom) for atom in outside)
                for rest, factor in self._inverse(Normal(S.shape, ((inside, c),))):
                    yield _joined(Term(numbers), rest), factor
                return
            if not term.scalars and not term.bound:
                inverted = [_inverse_of(factor) for factor in reversed(term.word)]
                if all(inverted):
                    yield Term(word=tuple(factor for factor in inverted if factor)), 1 / c
                    return
        unit = next((c for term, c in S.items if term == Term()), S.items[-1][1])
        scaled = _collect(S.shape, ((term, c / unit) for term, c in S.items))
        factor = _inverse_factor(scaled)
        yield Term(word=(factor,)), 1 / unit

    def _logdet(self, S: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
        one = sympy.Integer(1)
        if len(S.items) == 1 and S.items[0][0] == Term() and S.items[0][1].is_positive:  # log det(cI)
            yield Term(), size(S.shape[0]) * sympy.expand_log(sympy.log(S.items[0][1]))  # type: ignore[misc]
            return
        only, c = S.items[0] if len(S.items) == 1 else (Term(), 0)
        if c == 1 and [f.atom.kind for f in only.word] == ["inverse"] and not only.scalars and not only.bound:
            yield Term((Atom("logdet", (S.items[0][0].word[0].atom.content[0],)),)), -one
            return
        yield Term((Atom("logdet", (min(S, S.T, key=_key),)),)), one

    # Rewriting, to the end.

    def _reduced(self, shape: ex.Shape, items: Rewritten) -> Normal:
        done: Rewritten = []
        items = [(_fresh(term), c) for term, c in items]
        for _ in range(REWRITINGS):
            if not items:
                return _collect(shape, done)
            term, c = items.pop()
            idle = [pair for pair in term.bound if pair[0] not in _free(Term(term.scalars, term.word))]
            for pair in idle:
                c *= size(pair[1])
            term = replace(term, bound=tuple(pair for pair in term.bound if pair not in idle))
            changed = self._rewritten(term)
            if changed is None:
                done.append((term, c.subs(self.sizes)))
            else:
                items += [(new, c * factor) for new, factor in changed]
        raise RecursionError(f"the rules go round in circles: no normal form after {REWRITINGS} rewritings")

    def _rewritten(self, term: Term) -> Rewritten | None:
        """The term after one rewriting, None if none applies."""
        without = _cancelled(term)
        if without is not None:
            return [without]
        for i, atom in enumerate(term.scalars):
            rest = replace(term, scalars=term.scalars[:i] + term.scalars[i + 1 :])
            changed = self._scalar(atom, rest)
            if changed is not None:
                return changed
        return self._in_word(term.word, replace(term, word=()), _word_term)

    def _scalar(self, atom: Atom, rest: Term) -> Rewritten | None:
        for pattern, right in self.patterns:
            names = _match(pattern.scalars, (atom,)) if pattern.scalars else None
            if names is not None:
                return _multiplied(rest, _renamed(right, names))
        if atom.kind == "entries":
            words = list(atom.content)
            if len(words) == 2:
                return [(_joined(rest, Term((_trace_atom(_transposed(words[0]) + words[1]),))), sympy.Integer(1))]
            return None
        if atom.kind != "trace":
            return None
        for word in _rotations(atom.content[0]) + _rotations(_transposed(atom.content[0])):
            head, tail = word[0], word[1:]
            if head.atom.kind == "hadamard":
                words = _hadamard_words([(head,), _transposed(tail)])
                if len(words) > 1:
                    return [(_joined(rest, Term((_entries_atom(words),))), sympy.Integer(1))]
            if head.atom.kind == "diagonal" and head.transposed and tail:
                diag = Factor(Atom("diag", (tail,), head.cols, head.cols, symmetric=True))
                return [(_joined(rest, Term((_trace_atom((diag, *head.atom.content[0])),))), sympy.Integer(1))]
            if head.atom.kind == "diag" and not tail:
                dense = _trace_of_diag(head.atom.content[0])
                if dense is not None:
                    return [(_joined(rest, Term((dense,))), sympy.Integer(1))]
            changed = self._in_word(word, rest, _trace_term, once=True)
            if changed is not None:
                return changed
        return None

    def _in_word(self, word: Word, rest: Term, wrap: Any, *, once: bool = False) -> Rewritten | None:
        # Tries the rules at every place of a word; ``wrap`` turns the changed word back into a term. A trace is tried
        # rotation by rotation, so only at the front of each.
        for i in range(1 if once else len(word)):
            found = self._at(word[i:], rest, word[:i])
            if found is None:
                continue
            length, pieces, names, unbound = found
            before, after = _renamed(word[:i], names), _renamed(word[i + length :], names)
            outside = _renamed(Term(rest.scalars, rest.word), names)
            bound = tuple(pair for pair in rest.bound if pair[0] not in unbound)
            outer = Term(outside.scalars, outside.word, bound)
            result: Rewritten = []
            for piece, c in pieces:
                middle = _fresh(piece)
                inside, factor = wrap(before + middle.word + after, word[0].rows)
                merged = _joined(_joined(outer, inside), replace(middle, word=()))
                result.append((merged, c * factor))
            return result
        return None

    def _at(self, word: Word, rest: Term, before: Word) -> tuple[int, Rewritten, dict[str, str], set[str]] | None:
        """A rule that applies at the front of ``word``: factors taken, what replaces them, renamings, freed indices."""
        nothing: dict[str, str] = {}
        one = sympy.Integer(1)
        for pattern, right in self.patterns:
            n = len(pattern.word)
            names = _match(pattern.word, word[:n]) if n and n <= len(word) else None
            if names is not None:
                return n, list(_renamed(right, names).items), nothing, set()
        first = word[0]
        if first.rows == 1:
            for n in range(1, len(word) + 1):
                if word[n - 1].cols == 1 and (n < len(word) or before):
                    return n, [(Term((_trace_atom(word[:n]),)), one)], nothing, set()
        if first.atom.kind == "inverse":
            for lead, rewritten in _resolvent(first.atom.content[0]):
                if word[1 : 1 + len(lead)] == lead:
                    return (
                        1 + len(lead),
                        [(replace(t, word=(first, *t.word)), c) for t, c in rewritten[1:]] + [rewritten[0]],
                        nothing,
                        set(),
                    )
        for second in word[1:]:
            if second.atom.kind == "inverse":
                for lead, rewritten in _resolvent(second.atom.content[0]):
                    n = len(lead)
                    if word[:n] == lead and word[n : n + 1] == (second,):
                        return (
                            n + 1,
                            [(replace(t, word=(*t.word, second)), c) for t, c in rewritten[1:]] + [rewritten[0]],
                            nothing,
                            set(),
                        )
        if len(word) < 2:
            return None
        return self._pair(first, word[1], word, rest, before)

    def _pair(
        self, a: Factor, b: Factor, word: Word, rest: Term, before: Word
    ) -> tuple[int, Rewritten, dict[str, str], set[str]] | None:
        one, kinds = sympy.Integer(1), (a.atom.kind, b.atom.kind)
        if kinds == ("matrix", "matrix"):
            A, B = a.atom.content[0], b.atom.content[0]
            if replace(A, index="") == replace(B, index=""):
                bound = dict(rest.bound)
                if a.transposed and not b.transposed and A.orthonormal:
                    if A.index == B.index:
                        return 2, [(Term(), one)], {}, set()
                    members = bound.get(A.index), bound.get(B.index)
                    if A.mutually and any(members) and set(members) <= {"K", None}:  # a family has K members
                        old, new = (A.index, B.index) if A.index in bound else (B.index, A.index)
                        return 2, [(Term(), one)], {old: new}, {old}
                if b.transposed and not a.transposed and A.complete and A.index == B.index:
                    if not A.index:
                        return 2, [(Term(), one)], {}, set()
                    elsewhere = _free(before) | _free(word[2:]) | _free(rest.scalars) | _free(rest.word)
                    if bound.get(A.index) == "K" and A.index not in elsewhere:
                        return 2, [(Term(), one)], {}, {A.index}
        if kinds == ("ones", "ones"):
            product = Factor(Atom("ones", (), a.rows, b.cols))
            return 2, [(Term(word=() if a.rows == b.cols == 1 else (product,)), size(a.cols))], {}, set()
        if b.atom.kind == "ones" and b.cols == 1:
            summed = _row_sums(a)
            return summed and (2, [(summed, one)], {}, set())
        if a.atom.kind == "ones" and a.rows == 1:
            summed = _row_sums(b.T)
            return summed and (2, [(replace(summed, word=_transposed(summed.word)), one)], {}, set())
        if kinds == ("diag", "diag"):
            words = _hadamard_words([a.atom.content[0], b.atom.content[0]])
            column = Factor(Atom("hadamard", tuple(words), a.rows, 1))
            both = Factor(Atom("diag", ((column,),), a.rows, a.rows, symmetric=True))
            return 2, [(Term(word=(both,)), one)], {}, set()
        return None


def _row_sums(a: Factor) -> Term | None:
    """A 1, where it is known."""
    content = a.atom.content
    match a.atom.kind, a.transposed:
        case "softmax", False:
            return Term(word=(Factor(Atom("ones", (), a.rows, 1)),))
        case "diag", _:
            return Term(word=content[0])
        case "diagonal", True:
            return Term((_trace_atom(content[0]),))
        case "hadamard", transposed if len(content) == 2:
            left, right = content
            product = _transposed(left) + right if transposed else left + _transposed(right)
            return Term(word=product if product[0].rows == 1 else (_diagonal_factor(product),))
    return None


def _trace_of_diag(column: Word) -> Atom | None:
    """tr Diag(v ∘ diag(A)) as tr(Diag(v) A)."""
    factor = column[0]
    hadamard = len(column) == 1 and factor.atom.kind == "hadamard" and not factor.transposed
    words = list(factor.atom.content) if hadamard else [column]
    for i, word in enumerate(words):
        if len(word) == 1 and word[0].atom.kind == "diagonal" and not word[0].transposed:
            dense, others = word[0].atom.content[0], words[:i] + words[i + 1 :]
            if not others:
                return _trace_atom(dense)
            rest = others[0] if len(others) == 1 else (Factor(Atom("hadamard", tuple(others), factor.rows, 1)),)
            return _trace_atom((Factor(Atom("diag", (rest,), factor.rows, factor.rows, symmetric=True)), *dense))
    return None


def _of_a_size(rule: Rule) -> bool:
    return isinstance(rule.left, ex.Scalar) and rule.left.value.is_Symbol and isinstance(rule.right, ex.Scalar)


def _undoes(left: Term, right: Normal, rules: list[tuple[Term, Normal]]) -> bool:
    """Whether left → right turns back what one of the rules does: S T → T S for symmetric S and T, transposed."""
    return any(
        back.items == ((left, sympy.Integer(1)),) and right.items == ((there, sympy.Integer(1)),)
        for there, back in rules
    )


def _word_term(word: Word, _: Size) -> tuple[Term, sympy.Expr]:
    return Term(word=word), sympy.Integer(1)


def _trace_term(word: Word, rows: Size) -> tuple[Term, sympy.Expr]:
    return (Term((_trace_atom(word),)), sympy.Integer(1)) if word else (Term(), size(rows))


def _joined(a: Term, b: Term) -> Term:
    return Term((*a.scalars, *b.scalars), (*a.word, *b.word), (*a.bound, *b.bound))


def _multiplied(rest: Term, value: Normal) -> Rewritten:
    return [(_joined(rest, _fresh(term)), c) for term, c in value.items]


def _times(a: Normal, b: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
    for s, c in a.items:
        for t, e in b.items:
            yield _joined(_fresh(s), _fresh(t)), c * e


def _hadamard(a: Normal, b: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
    if a.shape == (1, 1):
        yield from _times(a, b)
        return
    for one, c in a.items:
        for other, e in b.items:
            s, t = _fresh(one), _fresh(other)
            words = _hadamard_words([s.word, t.word])
            if not words:
                word: Word = (Factor(Atom("ones", (), *a.shape)),)
            elif len(words) == 1:
                word = words[0]
            else:
                word = (Factor(Atom("hadamard", tuple(words), *a.shape)),)
            yield Term((*s.scalars, *t.scalars), word, (*s.bound, *t.bound)), c * e


def _inverse_of(factor: Factor) -> Factor | None:
    if factor.atom.kind == "inverse":
        S = factor.atom.content[0]
        only = S.items[0][0] if len(S.items) == 1 else None
        if only is not None and len(only.word) == 1 and not only.scalars and S.items[0][1] == 1:
            return only.word[0]  # type: ignore[no-any-return]
    if factor.atom.kind == "matrix":
        A = factor.atom.content[0]
        if A.orthonormal and A.complete and not A.index:
            return factor.T
    return None


def _reciprocal(number: Atom) -> Atom:
    return _trace_atom((_inverse_factor(Normal((1, 1), ((Term((number,)), sympy.Integer(1)),))),))


def _cancelled(term: Term) -> tuple[Term, sympy.Expr] | None:
    """s⁻¹ s = 1 for a number s, a product or a sum of such over a family."""
    for i, atom in enumerate(term.scalars):
        S = _inverted(atom)
        if S is None or len(S.items) > 1 or len(S.items[0][0].bound) > 1:
            continue
        number, c = S.items[0]
        factors = (*number.scalars, *((_trace_atom(number.word),) if number.word else ()))
        for old, new in _matched(number.bound, term.bound):
            left = list(term.scalars[:i] + term.scalars[i + 1 :])
            wanted = _renamed(factors, {old[0]: new[0]} if old else {})
            if not all(left.count(part) >= wanted.count(part) for part in wanted):
                continue
            for part in wanted:
                left.remove(part)
            rest = Term(tuple(left), term.word, tuple(pair for pair in term.bound if pair != new))
            if not old or new[0] not in _free(Term(rest.scalars, rest.word)):
                return rest, 1 / c
    return None


def _inverted(number: Atom) -> Normal | None:
    """s, of a number s⁻¹."""
    word = number.content[0] if number.kind == "trace" else ()
    return word[0].atom.content[0] if len(word) == 1 and word[0].atom.kind == "inverse" and word[0].rows == 1 else None


def _matched(pattern: Bound, bound: Bound) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The bound indices that may stand for the one of a pattern, in pairs; one empty pair where it has none."""
    return [(pattern[0], pair) for pair in bound if pair[1] == pattern[0][1]] if pattern else [((), ())]


@cache
def _resolvent(S: Normal) -> tuple[tuple[Word, Rewritten], ...]:
    # S S⁻¹ = I, solved for the longest word of S: that word times S⁻¹ is (I − the rest of S times S⁻¹)/c. The first
    # entry of the right side stands without S⁻¹, the others with it.
    plain = [(t, c) for t, c in S.items if not t.scalars and not t.bound and t.word]
    if not plain:
        return ()
    term, c = max(plain, key=lambda item: (len(item[0].word), _key(item[0].word)))
    others = [(t, -e / c) for t, e in S.items if t != term]
    return ((term.word, [(Term(), 1 / c), *others]),)


def _kind(a: Factor | Atom) -> tuple[Any, ...]:
    return (a.kind,) if isinstance(a, Atom) else (a.transposed, a.atom.kind, a.rows, a.cols)


def _match(pattern: tuple[Any, ...], target: tuple[Any, ...]) -> dict[str, str] | None:
    """Names that turn ``pattern`` into ``target``: the indices of a rule stand for any."""
    if pattern == target:
        return {}
    if [_kind(part) for part in pattern] != [_kind(part) for part in target]:  # for speed: names change no kind
        return None
    mine, theirs = sorted(_free(pattern)), sorted(_free(target))
    if not mine or len(mine) > len(theirs):
        return None
    for choice in permutations(theirs, len(mine)):
        names = dict(zip(mine, choice, strict=True))
        if _renamed(pattern, names) == target:
            return names
    return None
