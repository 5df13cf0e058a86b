"""Serve one connection: send its responses, and notice when its client is too slow."""
import logging
from time import monotonic, time
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel

from .parser import RequestParser
from .task import AppTask, JsonErrorTask

# Time to send a whole request.
READ_TIMEOUT_SECONDS = 30
# Time without reading a single byte of a response.
WRITE_TIMEOUT_SECONDS = 30
# Buffered response bytes (on disk) above which the sending thread blocks: a list of about a million payments.
BLOCK_THREAD_BYTES = 256 * 1024 * 1024
# Time for the client to read most of that while a thread is blocked.
BLOCKED_THREAD_TIMEOUT_SECONDS = 300

logger = logging.getLogger(__name__)


class Channel(HTTPChannel):
    """A connection that tells when its client is too slow."""

    parser_class = RequestParser
    task_class = AppTask
    error_task_class = JsonErrorTask

    # The request that was being received after the last read; None between two.
    receiving: Any = None
    # Since when (monotonic seconds) it is being received, and since when a thread is blocked.
    receiving_since: float | None
    blocked_since: float | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The first request is due from the beginning. Between later ones, waitress's own timeout applies.
        self.receiving_since = monotonic()

    def handle_read(self) -> None:
        """Receive bytes from the client."""
        super().handle_read()
        if self.request is None:
            self.receiving_since = None
        elif self.request is not self.receiving:
            self.receiving_since = monotonic()
        self.receiving = self.request

    def write_soon(self, data: Any) -> int:
        """Send bytes of a response now or later; raises `ClientDisconnected` if the disk has no room for them.

        Works around: waitress 3.0.2 keeps the connection of a response that it could not write to the disk, until the
        client has been silent for too long.
        Drop when: waitress closes it.
        """
        try:
            buffered: int = super().write_soon(data)
        except OSError as error:
            logger.error("There is no disk space for the rest of a response, which is cut short: %s", error)
            self.will_close = True
            self.server.pull_trigger()
            raise ClientDisconnected from error
        return buffered

    def handle_write(self) -> None:
        """Send what can be sent.

        Works around: with `send_bytes` over 1, waitress 3.0.2 keeps a short response back while a pipelined request
        waits for its turn, and calls this in a busy loop meanwhile. This makes nothing faster by itself.
        Drop when: `send_bytes` is 1 again, or waitress sends it.
        """
        if self.requests:
            self._flush_exception(self._flush_some_if_lockable)
        super().handle_write()

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Block the sending thread while too much of its response is buffered.

        Works around: waitress 3.0.2 has one watermark, `outbuf_high_watermark` (16 MiB): a thread blocks above it and
        goes on below it. Here it blocks above `BLOCK_THREAD_BYTES` and goes on below waitress's 16 MiB, so that one
        timeout covers all of the time that a slow client blocks the thread.
        Drop when: waitress has a low watermark too.
        """
        if self.total_outbufs_len > BLOCK_THREAD_BYTES:
            self.blocked_since = monotonic()
            super()._flush_outbufs_below_high_watermark()
            self.blocked_since = None

    def is_overdue(self) -> bool:
        """Tell whether the client takes too long to send a request or to read a response. Call it every second.

        Works around: the timeout of waitress 3.0.2 starts again with each byte received, and never closes a connection
        that a response waits for.
        Drop when: waitress has timeouts for whole requests and for unread responses.
        """
        if self.receiving_since is not None and (self.requests or self.total_outbufs_len):
            # waitress receives nothing meanwhile.
            self.receiving_since = monotonic()
        if self.total_outbufs_len:
            blocked_since = self.blocked_since
            if blocked_since is not None and monotonic() - blocked_since > BLOCKED_THREAD_TIMEOUT_SECONDS:
                return True
            # waitress keeps this moment in seconds since the epoch.
            return bool(time() - self.last_activity > WRITE_TIMEOUT_SECONDS)
        return self.receiving_since is not None and monotonic() - self.receiving_since > READ_TIMEOUT_SECONDS
