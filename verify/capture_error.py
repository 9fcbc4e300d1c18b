"""Why a network could not be watched."""


class CaptureError(ValueError):
    """What was captured is not what the network computes, or cannot be captured."""


def require_calls(name: str, found: int, wanted: int = 1) -> None:
    """Refuse a part of a network that was called another number of times in one run.

    Raises
    ------
    CaptureError
        The message says what that means.
    """
    if found == wanted:
        return
    times = {1: "once", 2: "twice"}.get(wanted, f"{wanted} times")
    if found == 0:
        why = "got no call: it is not used, or its parent takes its weights without calling it"
    else:
        why = f"got {found} calls: it is shared, or the network loops over it"
    raise CaptureError(f"{name} must be called {times} in one run, {why}")
