"""What is true, and who complies: the ledger of claims, checks of layers and of networks, the ``srr`` command."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.certificate import certify_descent
    from verify.comparison import Subject, crosscheck
    from verify.descent import check_descent

__all__ = ["Subject", "certify_descent", "check_descent", "crosscheck"]

_HOMES = {
    "Subject": "comparison",
    "certify_descent": "certificate",
    "check_descent": "descent",
    "crosscheck": "comparison",
}


def __getattr__(name: str) -> Any:  # on demand, so that the command line starts at once
    if name in _HOMES:
        return getattr(import_module(f"verify.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
