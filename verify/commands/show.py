"""``srr show``: one claim in full, and its counterexample again; or what letters, words and sources mean."""

from __future__ import annotations

from pathlib import Path

from verify.usage import Flag


def show(
    claim: str,
    /,
    *,
    replay: Flag = False,
    figure: Path | None = None,
    results: Path = Path("srr-report/results.json"),
    json: Flag = False,
) -> int:
    """One claim in full, or drawn; with --replay, its counterexample judged again.

    Parameters
    ----------
    claim
        The name of a claim, as `srr list` shows it; or notation, for what letters, words and sources mean.
    replay
        Judge its counterexample again: the one stored with the claim, or else the one in --results.
    figure
        Write its figures to this .svg, .png or .pdf, in a folder that exists; judges the claim for it.
    results
        A results.json that `srr verify` wrote: where it is there, the verdict in it is shown too.
    json
        Print JSON.

    Returns
    -------
    int
        0; with --replay, 1 when the counterexample no longer refutes the claim.
    """
    from verify.claims import ledger as load
    from verify.commands import _claims
    from verify.names import nearest
    from verify.usage import UsageError

    if claim == "notation" and not replay:
        _claims.print_notation(json=json)
        return 0
    ledger = load()
    try:
        found = ledger[claim]
    except KeyError:
        near = nearest(claim, (c.slug for c in ledger))
        raise UsageError(f"CLAIM must be a name that `srr list` shows, got {claim!r}{near}") from None
    if figure is not None:
        _claims.draw(found, figure)
    if not replay:
        if json:
            last = _claims.last_run(found, results)
            print(_claims.to_json({**_claims.describe(found), "last_run": last}), end="")
        else:
            _claims.print_claim(found, results)
        return 0
    return _claims.replay(found, results, json=json)
