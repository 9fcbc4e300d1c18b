"""``srr certify``: a proof, in a file, of what one layer lowered on one token set; and the check of such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from verify.commands._problem import Family, Given
from verify.usage import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.certificate import Certificate

Place = Annotated[Path | None, Parameter(show_default=False)]
WORDS = {-1: "falls", 0: "stays", 1: "rises", None: "undecided"}


def certify(
    layer: Family = "descent",
    *,
    given: Given = Given(),  # noqa: B008 - frozen
    out: Place = None,
    check: Place = None,
    json: Flag = False,
) -> int:
    """Certify that one layer lowers, on these tokens, what it promises to lower; or check a certificate.

    The file holds all its numbers. --check decides them anew in exact and ball arithmetic, without the floating-point
    bounds that made it; and what is proved by rational numbers, `python verify/check_exact.py FILE` checks with nothing
    but Python.

    Parameters
    ----------
    layer
        The family, as in `srr descend`.
    out
        Write the certificate to this file, in a folder that exists.
    check
        Check the certificate in this file; goes with no other option but --json.
    json
        Print the certificate, or what the check found, as JSON.

    Returns
    -------
    int
        0 if every promise is certified kept; with --check, if every statement is confirmed. 1 if not.
    """
    from verify.certificate import certify_descent, read, to_json
    from verify.output import require_writable, write_all
    from verify.recheck import recheck
    from verify.usage import UsageError, user_input

    if check is not None:
        if (layer, given, out) != ("descent", Given(), None):
            raise UsageError("check must go with no other option but json: the file says what it is about")
        with user_input():
            certificate = read(check)
            objections = recheck(certificate)
        _tell_checked(certificate, objections, json=json)
        return int(any(objections))
    with user_input():
        if out is not None:
            require_writable(out, "out")
        problem = given.problem(layer, 1)
        certificate = certify_descent(problem.layers[0], problem.objective, problem.Z)
        text = to_json(certificate)
        if out is not None:
            write_all([(out, text)])
    if json:
        print(text, end="")
    else:
        _tell(certificate, [f"Tokens  {problem.tokens_said}", f"Bases   {problem.bases_said}"], out)
    return int(not certificate.kept)


def _tell(certificate: Certificate, said: Sequence[str], out: Path | None) -> None:
    from verify.terminal import page

    with page() as console:
        for line in (*said, f"Layer   {certificate.layer}"):
            console.print(line, markup=False)
        console.print()
        console.print(_table(certificate, ["exact" if s.exact else "" for s in certificate.statements]))
        if out is not None:
            console.print(f"\nFile    {out}", markup=False, soft_wrap=True)


def _tell_checked(certificate: Certificate, objections: Sequence[str], *, json: bool) -> None:
    from json import dumps

    from verify.terminal import page

    if json:
        rows = [
            {"half": s.half, "quantity": s.quantity, "sign": s.sign, "confirmed": not objection, "objection": objection}
            for s, objection in zip(certificate.statements, objections, strict=True)
        ]
        print(dumps(rows, indent=1))
        return
    with page() as console:
        console.print(_table(certificate, ["NO" if objection else "confirmed" for objection in objections]))
        for s, objection in zip(certificate.statements, objections, strict=True):
            if objection:
                console.print(f"{s.half} {s.quantity}: {objection}", markup=False)


def _table(certificate: Certificate, last: Sequence[str]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("half", "must fall", "", "by", "to within", ""):
        table.add_column(heading)
    for s, word in zip(certificate.statements, last, strict=True):
        by, within = "", ""
        if s.lower is not None and s.upper is not None:
            by, within = f"{s.lower / 2 + s.upper / 2:+.6g}", f"{s.upper / 2 - s.lower / 2:.1g}"
        table.add_row(s.half, Text(s.quantity), WORDS[s.sign], by, within, word)
    return table
