"""Waiting for something to happen"""
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

TIMEOUT_SECONDS = 60


def wait_until(condition: Callable[[], Any]) -> Any:
    """Return the first true value that a condition returns. Fails if there is none in time."""
    deadline = monotonic() + TIMEOUT_SECONDS
    while not (met := condition()):
        assert monotonic() < deadline, condition
        sleep(1 / 100)
    return met
