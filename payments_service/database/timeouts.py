"""How long the database may take before a request fails with 503."""
import threading
from time import monotonic

# For each wait: for a connection, for other writers, for a lock.
LOCK_TIMEOUT_SECONDS = 5
# For a request that has waited in the server's queue for longer than that. While a database is stuck, a hundred clients
# at eight threads would get their 503 after 65 s, and after 7 s with this.
MIN_LOCK_TIMEOUT_SECONDS = 1 / 10
# For one statement on PostgreSQL.
STATEMENT_TIMEOUT_SECONDS = 30


class _Request(threading.local):
    """When the request that this thread handles arrived, in monotonic seconds; None outside of a request."""

    arrived: float | None = None


_request = _Request()


def begin_request(waited_seconds: float) -> None:
    """Note that this thread handles a request now, which has waited in the server's queue."""
    _request.arrived = monotonic() - waited_seconds


def restart() -> None:
    """Let the time of this thread's request begin now: what it has done so far was no wait for the database."""
    if _request.arrived is not None:
        _request.arrived = monotonic()


def end_request() -> None:
    """Note that this thread handles no request any more."""
    _request.arrived = None


def find_arrival() -> float:
    """Return when this thread's request arrived, in monotonic seconds; outside of a request, now."""
    return monotonic() if _request.arrived is None else _request.arrived


def find_lock_timeout() -> float:
    """Return for how many seconds this thread may wait for a lock: the time in the server's queue counts too."""
    waited = 0 if _request.arrived is None else monotonic() - _request.arrived
    return max(LOCK_TIMEOUT_SECONDS - waited, min(MIN_LOCK_TIMEOUT_SECONDS, LOCK_TIMEOUT_SECONDS))
