"""What is true, and who complies: the ledger of claims, the descent check, the ``srr`` command."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.auditing.run import audit
    from verify.certificate import certify_descent
    from verify.descent import check_descent

__all__ = ["audit", "certify_descent", "check_descent"]


def __getattr__(name: str) -> Any:  # on demand, so that the command line starts at once
    if name == "audit":
        from verify.auditing.run import audit

        return audit
    if name == "check_descent":
        from verify.descent import check_descent

        return check_descent
    if name == "certify_descent":
        from verify.certificate import certify_descent

        return certify_descent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
