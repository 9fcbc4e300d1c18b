"""Names that were not found: what was meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, names: Iterable[str], most: int = 3) -> str:
    """``"; did you mean a, b or c?"``: names that contain the word, or else those spelled most alike; or nothing."""
    from difflib import get_close_matches

    known = list(names)
    containing = [name for name in known if len(word) > 2 and word.lower() in name.lower()]
    found = containing[:most] or get_close_matches(word, known, n=most)
    if not found:
        return ""
    return f"; did you mean {' or '.join(filter(None, [', '.join(found[:-1]), found[-1]]))}?"
