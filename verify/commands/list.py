"""``srr list``: what is claimed."""

from __future__ import annotations

from verify.usage import Flag, Patterns


def list(
    *,
    select: Patterns = (),
    json: Flag = False,
) -> int:
    """The claims, by theme, with the verdict that the ledger stands by.

    Parameters
    ----------
    select
        Only these claims: names, themes or patterns, as in `rates compression.exact-*`.
    json
        Print them as JSON.

    Returns
    -------
    int
        0.
    """
    from verify.claims import ledger as load
    from verify.commands import _claims
    from verify.usage import user_input

    ledger = load()
    with user_input():
        claims = ledger.select(select) if select else ledger.claims
    if json:
        print(_claims.to_json([_claims.describe(c) for c in claims]), end="")
    else:
        _claims.print_list(claims)
    return 0
