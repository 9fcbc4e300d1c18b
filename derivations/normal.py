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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import sympy

from derivations import expression as ex
from derivations.calculus import differential
from derivations.expression import Expr, Size
from derivations.words import (
    Atom,
    Bound,
    Factor,
    Normal,
    Term,
    Word,
    collect,
    diagonal_factor,
    entries_atom,
    free_of,
    fresh,
    hadamard_product,
    hadamard_words,
    inverse_factor,
    is_ones,
    joined,
    matched_names,
    reduced_function,
    renamed,
    rotations,
    size,
    sort_key,
    times,
    trace_atom,
    transposed_word,
)


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
    of: tuple[Expr, ...] = ()
    """What it is made of, and those matrices are defined from."""

    def __post_init__(self) -> None:
        if self.left.shape != self.right.shape:
            raise ValueError(f"the sides of a rule must have one shape, got {self.left.shape}, {self.right.shape}")


@cache
def normal(a: Expr, rules: tuple[Rule, ...] = ()) -> Normal:
    """The normal form of ``a`` under ``rules``."""
    return _Reader(rules).read(a)


def equal(a: Expr, b: Expr, rules: tuple[Rule, ...] = ()) -> bool:
    """Whether ``a`` and ``b`` have one normal form under ``rules``."""
    return a.shape == b.shape and normal(a, rules) == normal(b, rules)


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
        transposed = [(replace(left, word=transposed_word(left.word)), right.T) for left, right in read if left.word]
        self.patterns = read + [(left, right) for left, right in transposed if not _undoes(left, right, read)]

    @staticmethod
    def _pattern(earlier: tuple[Rule, ...], rule: Rule) -> tuple[Term, Normal]:
        left, right = normal(rule.left), normal(rule.right, earlier)
        if len(left.items) != 1:
            raise ValueError(f"the left side of a rule must be a single term, got {len(left.items)} terms")
        term, c = left.items[0]
        if bool(term.word) == bool(term.scalars) or len(term.scalars) > 1 or term.bound:
            raise ValueError("the left side of a rule must be one word or one scalar atom")
        if not c.is_nonzero:
            raise ValueError(f"the factor of a rule's left side must not be zero, got {c}")
        return term, collect(right.shape, ((t, factor / c) for t, factor in right.items))

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
                yield from times(self.read(left), self.read(right))
            case ex.Product(factors=(only,)):
                yield from self.read(only).items
            case ex.Product(factors=factors):
                yield from times(self.read(factors[0]), self.read(ex.Product(factors[1:])))
            case ex.Transpose(arg=arg):
                yield from self.read(arg).T.items
            case ex.Sum(index=index, arg=arg, count=count):
                for term, c in self.read(arg).items:
                    if index in free_of(term):
                        yield replace(term, bound=(*term.bound, (index, count))), c
                    else:
                        yield term, c * size(count)
            case ex.Inverse(arg=arg):
                yield from self._inverse(self.read(arg))
            case ex.Trace(arg=arg):
                for term, c in self.read(arg).items:
                    if term.word:
                        yield Term((*term.scalars, trace_atom(term.word)), (), term.bound), c
                    else:
                        yield term, c * size(arg.shape[0])  # type: ignore[misc]
            case ex.LogDet(arg=arg):
                yield from self._logdet(self.read(arg))
            case ex.Softmax(arg=arg):
                yield Term(word=(Factor(Atom("softmax", (self.read(arg),), *a.shape)),)), one
            case ex.Entrywise(function=function, arg=arg):
                applied = Atom("entrywise", (reduced_function(function), self.read(arg)), *a.shape)
                yield Term(word=(Factor(applied),)), one
            case ex.Hadamard(left=left, right=right):
                yield from hadamard_product(self.read(left), self.read(right))
            case ex.Diag(arg=arg):
                for term, c in self.read(arg).items:
                    atom = Atom("diag", (term.word,), *a.shape, symmetric=True)
                    yield replace(term, word=() if is_ones(term.word) else (Factor(atom),)), c
            case ex.Differential(arg=arg, matrix=matrix, along=along):
                yield from self.read(differential(arg, {matrix: along})).items
            case ex.Diagonal(arg=arg) if arg.shape == (1, 1):
                yield from self.read(arg).items
            case ex.Diagonal(arg=arg):
                for term, c in self.read(arg).items:
                    if [factor.atom.kind for factor in term.word] == ["diag"]:  # diag(Diag(v)) = v
                        yield replace(term, word=term.word[0].atom.content[0]), c
                        continue
                    column = diagonal_factor(term.word) if term.word else Factor(Atom("ones", (), a.shape[0], 1))
                    yield replace(term, word=(column,)), c
            case _:
                raise TypeError(f"no normal form for {type(a).__name__}")

    def _inverse(self, S: Normal) -> Iterator[tuple[Term, sympy.Expr]]:
        if not S.items:
            raise ZeroDivisionError("inverse of a matrix that is zero")
        if len(S.items) == 1:
            term, c = S.items[0]
            outside = [atom for atom in term.scalars if not free_of(atom) & {index for index, _ in term.bound}]
            if outside:  # (sA)⁻¹ = s⁻¹A⁻¹ for a number s
                inside = replace(term, scalars=tuple(atom for atom in term.scalars if atom not in outside))
                numbers = tuple(_reciprocal(atom) for atom in outside)
                for rest, factor in self._inverse(Normal(S.shape, ((inside, c),))):
                    yield joined(Term(numbers), rest), factor
                return
            if not term.scalars and not term.bound:
                inverted = [_inverse_of(factor) for factor in reversed(term.word)]
                if all(inverted):
                    yield Term(word=tuple(factor for factor in inverted if factor)), 1 / c
                    return
        unit = next((c for term, c in S.items if term == Term()), S.items[-1][1])
        unit = unit if len(S.items) == 1 or unit.is_nonzero else sympy.Integer(1)
        scaled = collect(S.shape, ((term, c / unit) for term, c in S.items))
        factor = inverse_factor(scaled)
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
        yield Term((Atom("logdet", (min(S, S.T, key=sort_key),)),)), one

    # Rewriting, to the end.

    def _reduced(self, shape: ex.Shape, items: Rewritten) -> Normal:
        done: Rewritten = []
        items = [(fresh(term), c) for term, c in items]
        for _ in range(REWRITINGS):
            if not items:
                return collect(shape, done)
            term, c = items.pop()
            idle = [pair for pair in term.bound if pair[0] not in free_of(Term(term.scalars, term.word))]
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
            return [(without, sympy.Integer(1))]
        for i, atom in enumerate(term.scalars):
            rest = replace(term, scalars=term.scalars[:i] + term.scalars[i + 1 :])
            changed = self._scalar(atom, rest)
            if changed is not None:
                return changed
        return self._in_word(term.word, replace(term, word=()), _word_term)

    def _scalar(self, atom: Atom, rest: Term) -> Rewritten | None:
        for pattern, right in self.patterns:
            names = matched_names(pattern.scalars, (atom,)) if pattern.scalars else None
            if names is not None:
                return _multiplied(rest, renamed(right, names))
        if atom.kind == "entries":
            words = list(atom.content)
            if len(words) == 2:
                return [(joined(rest, Term((trace_atom(transposed_word(words[0]) + words[1]),))), sympy.Integer(1))]
            return None
        if atom.kind != "trace":
            return None
        for word in rotations(atom.content[0]) + rotations(transposed_word(atom.content[0])):
            head, tail = word[0], word[1:]
            if head.atom.kind == "hadamard":
                words = hadamard_words([(head,), transposed_word(tail)])
                if len(words) > 1:
                    return [(joined(rest, Term((entries_atom(words),))), sympy.Integer(1))]
            if head.atom.kind == "diagonal" and head.transposed and tail:
                diag = Factor(Atom("diag", (tail,), head.cols, head.cols, symmetric=True))
                return [(joined(rest, Term((trace_atom((diag, *head.atom.content[0])),))), sympy.Integer(1))]
            if head.atom.kind == "diag" and not tail:
                dense = _trace_of_diag(head.atom.content[0])
                if dense is not None:
                    return [(joined(rest, Term((dense,))), sympy.Integer(1))]
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
            before, after = renamed(word[:i], names), renamed(word[i + length :], names)
            outside = renamed(Term(rest.scalars, rest.word), names)
            bound = tuple(pair for pair in rest.bound if pair[0] not in unbound)
            outer = Term(outside.scalars, outside.word, bound)
            result: Rewritten = []
            for piece, c in pieces:
                middle = fresh(piece)
                inside, factor = wrap(before + middle.word + after, word[0].rows)
                merged = joined(joined(outer, inside), replace(middle, word=()))
                result.append((merged, c * factor))
            return result
        return None

    def _at(self, word: Word, rest: Term, before: Word) -> tuple[int, Rewritten, dict[str, str], set[str]] | None:
        """A rule that applies at the front of ``word``: factors taken, what replaces them, renamings, freed indices."""
        nothing: dict[str, str] = {}
        one = sympy.Integer(1)
        for pattern, right in self.patterns:
            n = len(pattern.word)
            names = matched_names(pattern.word, word[:n]) if n and n <= len(word) else None
            if names is not None:
                return n, list(renamed(right, names).items), nothing, set()
        first = word[0]
        if first.rows == 1:
            for n in range(1, len(word) + 1):
                if word[n - 1].cols == 1 and (n < len(word) or before):
                    return n, [(Term((trace_atom(word[:n]),)), one)], nothing, set()
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
                    of_family = A.mutually and A.index and B.index
                    if of_family and any(members) and set(members) <= {A.count, None}:
                        old, new = (A.index, B.index) if A.index in bound else (B.index, A.index)
                        return 2, [(Term(), one)], {old: new}, {old}
                if b.transposed and not a.transposed and A.complete and A.index == B.index:
                    if not A.index:
                        return 2, [(Term(), one)], {}, set()
                    elsewhere = free_of(before) | free_of(word[2:]) | free_of(rest.scalars) | free_of(rest.word)
                    if bound.get(A.index) == A.count and A.index not in elsewhere:
                        return 2, [(Term(), one)], {}, {A.index}
        if kinds == ("ones", "ones"):
            product = Factor(Atom("ones", (), a.rows, b.cols))
            return 2, [(Term(word=() if a.rows == b.cols == 1 else (product,)), size(a.cols))], {}, set()
        if b.atom.kind == "ones" and b.cols == 1:
            summed = _row_sums(a)
            return summed and (2, [(summed, one)], {}, set())
        if a.atom.kind == "ones" and a.rows == 1:
            summed = _row_sums(b.T)
            return summed and (2, [(replace(summed, word=transposed_word(summed.word)), one)], {}, set())
        if kinds == ("diag", "diag"):
            words = hadamard_words([a.atom.content[0], b.atom.content[0]])
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
            return Term((trace_atom(content[0]),))
        case "hadamard", transposed if len(content) == 2:
            left, right = content
            product = transposed_word(left) + right if transposed else left + transposed_word(right)
            return Term(word=product if product[0].rows == 1 else (diagonal_factor(product),))
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
                return trace_atom(dense)
            rest = others[0] if len(others) == 1 else (Factor(Atom("hadamard", tuple(others), factor.rows, 1)),)
            return trace_atom((Factor(Atom("diag", (rest,), factor.rows, factor.rows, symmetric=True)), *dense))
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
    return (Term((trace_atom(word),)), sympy.Integer(1)) if word else (Term(), size(rows))


def _multiplied(rest: Term, value: Normal) -> Rewritten:
    return [(joined(rest, fresh(term)), c) for term, c in value.items]


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
    return trace_atom((inverse_factor(Normal((1, 1), ((Term((number,)), sympy.Integer(1)),))),))


def _cancelled(term: Term) -> Term | None:
    """s⁻¹ s = 1 for a number s, a product or a sum of such over a family."""
    for i, atom in enumerate(term.scalars):
        S = _inverted(atom)
        if S is None or len(S.items) > 1 or len(S.items[0][0].bound) > 1:
            continue
        number = S.items[0][0]  # its coefficient is 1, as in every S⁻¹
        factors = (*number.scalars, *((trace_atom(number.word),) if number.word else ()))
        for old, new in _matched(number.bound, term.bound):
            left = list(term.scalars[:i] + term.scalars[i + 1 :])
            wanted = renamed(factors, {old[0]: new[0]} if old else {})
            if not all(left.count(part) >= wanted.count(part) for part in wanted):
                continue
            for part in wanted:
                left.remove(part)
            rest = Term(tuple(left), term.word, tuple(pair for pair in term.bound if pair != new))
            if not old or new[0] not in free_of(Term(rest.scalars, rest.word)):
                return rest
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
    plain = [(t, c) for t, c in S.items if not t.scalars and not t.bound and t.word and c.is_nonzero]
    if not plain:
        return ()
    term, c = max(plain, key=lambda item: (len(item[0].word), sort_key(item[0].word)))
    others = [(t, -e / c) for t, e in S.items if t != term]
    return ((term.word, [(Term(), 1 / c), *others]),)
