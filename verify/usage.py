"""Input from the command line: bad input gets one clear sentence and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import Parameter


class UsageError(Exception):
    """What the user gave cannot be used; the message names the argument, the rule and the value."""


@contextmanager
def user_input() -> Iterator[None]:
    """Report the ValueError, TypeError or OSError of a check on user input as a `UsageError`."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(str(error)) from error


def _whole(_: Any, tokens: Any) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"it must be a whole number, got {tokens[0].value!r}") from None


Whole = Annotated[int, Parameter(converter=_whole)]
"""An option that is a whole number; cyclopts alone would round."""

Flag = Annotated[bool, Parameter(show_default=False)]
"""An option that is given or not."""

Patterns = Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), show_default=False)]
"""An option that takes one or more patterns and may be repeated."""
