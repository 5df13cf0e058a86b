"""The warning about a wrong clock."""
import logging

from .. import store
from .runtime import runtime

logger = logging.getLogger(__name__)


def check_clock() -> list[str]:
    """Return what may be wrong with the clock, each in one line; log it when it begins."""
    faults = [f"The clock may be wrong: {fault}" for fault in store.clock.find_clock_faults()]
    logged = runtime().clock_fault_is_logged
    if not faults:
        logged.clear()
    elif not logged.is_set():
        logged.set()
        for fault in faults:
            logger.warning(fault)
    return faults
