"""Check the exact part of a certificate, with nothing but Python: ``python check_exact.py FILE``.

A certificate of ``srr certify`` says of a layer, on one input, that quantities fell. Where no logarithm is left to
take, it proves so by two rational numbers, before and after:

- for rates, exp(2 · quantity): the product over k of det(I + β YᵀY), Y = A U_k, β = p/(n ε²), for Rᶜ; that product
  divided by det(I + α AᵀA), α = d/(n ε²), for Rᶜ − R;
- |A|_1 itself; and λ|A|_1 + ½|Z − A Dᵀ|² for the lasso, Z being the tokens before.

This script reads the arrays as the rational numbers that floats are, computes the two anew, and compares. It exits
with 0 if all such statements are true, 1 if one is false or there is none, 2 if the file cannot be read. Hashes, and
whether the arrays are those of a layer, are not looked at.
"""

import json
import sys
from fractions import Fraction

LARGEST_FILE = 2**24
ENTRIES, SIDE, HEADS, DIGITS = 2048, 32, 64, 4000
PLACES = {"compress": (("input",), "half"), "sparsify": (("half", "normed"), "output"), "layer": (("input",), "output")}
QUANTITIES = ("Rc", "Rc - R", "|Z|_1", "lam|Z|_1 - R", "lasso", "loss")


def matrices(array):
    """The matrices (one, for two axes) of an array ``{"shape": ..., "values": ...}``, as lists of rows of Fractions."""
    shape = [int(size) for size in array["shape"]]
    *heads, n, d = shape
    count = heads[0] if heads else 1
    if len(shape) not in (2, 3) or min(shape) < 1 or n * d > ENTRIES or count > HEADS:
        raise ValueError(f"array of shape {shape} is not one of a small certificate")
    values = [Fraction(float.fromhex(x)) for x in array["values"].split()]
    if len(values) != count * n * d:
        raise ValueError(f"array of shape {shape} has {len(values)} values")
    return [[values[(k * n + i) * d : (k * n + i + 1) * d] for i in range(n)] for k in range(count)]


def ratio(text, base=10):
    """The Fraction in ``"p/q"``."""
    p, q = text.split("/")
    if len(text) > 2**20 or (base == 10 and len(text) > DIGITS):
        raise ValueError("a ratio has too many digits")
    return Fraction(int(p, base), int(q, base))


def transposed(A):
    return [list(column) for column in zip(*A, strict=True)]


def product(A, B):
    columns = transposed(B)
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in A]


def determinant(M):
    """det M by Bareiss' elimination, in integers."""
    scale = 1
    for row in M:
        for x in row:
            scale *= x.denominator // gcd(scale, x.denominator)
    M = [[int(x * scale) for x in row] for row in M]
    q, last, sign = len(M), 1, 1
    for k in range(q - 1):
        pivot = next((i for i in range(k, q) if M[i][k]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            M[k], M[pivot], sign = M[pivot], M[k], -sign
        for i in range(k + 1, q):
            for j in range(k + 1, q):
                M[i][j] = (M[i][j] * M[k][k] - M[i][k] * M[k][j]) // last
        last = M[k][k]
    return Fraction(sign * M[-1][-1], scale**q)


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def shifted(Y, c):
    """det(I + c YᵀY), on the smaller side."""
    gram = product(Y, transposed(Y)) if len(Y) < len(Y[0]) else product(transposed(Y), Y)
    if len(gram) > SIDE:
        raise ValueError(f"a determinant of size {len(gram)} is not one of a small certificate")
    return determinant([[c * x + (i == j) for j, x in enumerate(row)] for i, row in enumerate(gram)])


def value(statement, name, arrays, eps):
    """The rational number of a quantity at the tokens ``name``."""
    quantity = statement["quantity"]
    lam = ratio(statement["lam"]) if statement["lam"] is not None else Fraction(0)
    if lam < 0:
        raise ValueError("lam must be >= 0")
    if quantity not in QUANTITIES or (quantity in ("lam|Z|_1 - R", "loss") and lam != 0):
        raise ValueError(f"{quantity!r} has no exact certificate")
    (A,) = matrices(arrays[name])
    n, d = len(A), len(A[0])
    if quantity in ("|Z|_1", "lasso"):
        norm = sum(abs(x) for row in A for x in row)
        if quantity == "|Z|_1":
            return norm
        (D,), (Z,) = matrices(arrays["D"]), matrices(arrays[statement["before"]])
        code = product(A, transposed(D))
        pairs = ((z, a) for row, other in zip(Z, code, strict=True) for z, a in zip(row, other, strict=True))
        rest = sum((z - a) ** 2 for z, a in pairs)
        return lam * norm + rest / 2
    result = Fraction(1)
    if quantity in ("Rc", "Rc - R", "loss"):
        for basis in matrices(arrays["U"]):
            result *= shifted(product(A, basis), Fraction(len(basis[0]), n) / eps**2)
    if quantity != "Rc":
        result /= shifted(A, Fraction(d, n) / eps**2)
    return result


def confirmed(statement, arrays, eps):
    """Whether the exact part of a statement is true: both numbers, and the sign of their difference."""
    starts, end = PLACES[statement["half"]]
    if statement["before"] not in starts or statement["after"] != end:
        raise ValueError(f"{statement['before']} and {statement['after']} are not the ends of {statement['half']}")
    before, after = (value(statement, statement[name], arrays, eps) for name in ("before", "after"))
    exact = statement["exact"]
    if (ratio(exact["before"], 16), ratio(exact["after"], 16)) != (before, after):
        return False
    return statement["sign"] == (after > before) - (after < before)


def main(arguments):
    if len(arguments) != 1:
        print("usage: python check_exact.py FILE", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise ValueError("the file is too large for this script")
        document = json.loads(text)
        eps, found = ratio(document["eps"]), []
        for statement in document["statements"]:
            said = f"{statement['half']}: {statement['quantity']}"
            if statement["exact"] is None:
                print(f"{said}: not exact, not checked here")
                continue
            found.append(confirmed(statement, document["arrays"], eps))
            word = {-1: "falls", 0: "stays", 1: "rises"}.get(statement["sign"], "undecided")
            print(f"{said} {word}: {'true' if found[-1] else 'FALSE'}")
    except Exception as error:  # whatever is wrong with the file
        print(f"check_exact: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return 2
    return 0 if found and all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
