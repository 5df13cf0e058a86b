"""The thread that settles Lightning invoices while the service runs."""
import logging
import threading

import flask

from ..database import DATABASE_FAULTS
from ..settling import LOOK_SECONDS, MAX_PAUSE_SECONDS, Settler, Stopped
from ..web.runtime import runtime

# For a transaction that runs when the service is told to stop.
STOP_TIMEOUT_SECONDS = 5

logger = logging.getLogger(__name__)


class SettlingThread:
    """Runs rounds of an application's settler, if it has one."""

    def __init__(self, app: flask.Flask) -> None:
        with app.app_context():
            self._settler, self._waits = runtime().settler, runtime().waits
        self._failed_rounds = 0

    def start(self) -> None:
        """Start the thread."""
        if self._settler:
            # A daemon: the process does not wait for a node that does not respond.
            threading.Thread(target=self._run, args=[self._settler], name="settling", daemon=True).start()

    def stop(self) -> None:
        """End the thread and the requests that wait for payments. Only a transaction that runs is waited for."""
        self._waits.stop()
        if self._settler:
            self._settler.stop(STOP_TIMEOUT_SECONDS)

    def _run(self, settler: Settler) -> None:
        seconds = LOOK_SECONDS
        while settler.wait(seconds):
            try:
                settler.run_round()
            except Stopped:
                return
            except Exception as error:
                # Whatever it is, payments that arrive later have to be recorded.
                self._log(error)
                seconds = min(2 * seconds, MAX_PAUSE_SECONDS)
            else:
                self._failed_rounds, seconds = 0, LOOK_SECONDS

    def _log(self, error: Exception) -> None:
        """Log why a round failed: once, and not for each attempt of an outage."""
        self._failed_rounds += 1
        if self._failed_rounds == 1:
            reason = " ".join(str(error).split())
            trace = None if isinstance(error, DATABASE_FAULTS) else error
            logger.error("Lightning invoices cannot be settled now: %s", reason, exc_info=trace)
