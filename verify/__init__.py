"""What is true, and who complies: the ledger of claims, the descent check, the ``srr`` command."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.descent import check_descent

__all__ = ["check_descent"]


def __getattr__(name: str) -> Any:  # on demand, so that the command line starts at once
    if name == "check_descent":
        from verify.descent import check_descent

        return check_descent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
