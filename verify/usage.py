"""Bad input from the command line: one clear sentence and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(Exception):
    """What the user gave cannot be used; the message names the argument, the rule and the value."""


@contextmanager
def user_input() -> Iterator[None]:
    """Report the ValueError, TypeError or OSError of a check on user input as a `UsageError`."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(str(error)) from error
