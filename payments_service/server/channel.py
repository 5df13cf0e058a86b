"""Serve one connection: send its responses, and notice when its client is too slow."""
import logging
import shutil
import tempfile
from time import monotonic
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel

from .parser import RequestParser
from .task import AppTask, JsonErrorTask

# Time to send a whole request.
READ_TIMEOUT_SECONDS = 30
# Time without reading a single byte of a response.
WRITE_TIMEOUT_SECONDS = 30
# Time between two requests.
IDLE_TIMEOUT_SECONDS = 120
# Response bytes, on the disk, that all clients together may leave unread before threads block: a list of about a
# million payments. Twenty slow readers with as much each would fill the disk.
MAX_BUFFERED_BYTES = 256 * 1024 * 1024
# Disk space that buffered responses leave free, for the database.
MIN_FREE_BYTES = 64 * 1024 * 1024
# Time for the client to read most of that while a thread is blocked.
BLOCKED_THREAD_TIMEOUT_SECONDS = 300

# Answered without a worker thread.
LIVENESS_PATH = "/health/live"

logger = logging.getLogger(__name__)


def find_free_bytes() -> int:
    """Return the free space of the disk that buffered responses are on."""
    return shutil.disk_usage(tempfile.gettempdir()).free


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
    # Since when the response is being sent, and since when the next request waits for a thread.
    response_since: float = 0
    queued_since: float = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The first request is due from the beginning.
        self.receiving_since = monotonic()

    @property
    def last_activity(self) -> float:
        """When it last received or sent bytes, or completed a response, in monotonic seconds.

        Works around: waitress 3.0.2 keeps this moment by the wall clock. One that was set ahead closed all connections
        at once, also those with an unsent response. After one that was set back by a day, no idle connection and no
        client that does not read was closed for a day.
        Drop when: waitress uses time.monotonic().
        """
        return self._last_activity

    @last_activity.setter
    def last_activity(self, _wall_clock_seconds: float) -> None:
        self._last_activity = monotonic()

    def handle_read(self) -> None:
        """Receive bytes from the client."""
        super().handle_read()
        if self.request is None:
            self.receiving_since = None
        elif self.request is not self.receiving:
            self.receiving_since = monotonic()
        self.receiving = self.request

    def write_soon(self, data: Any) -> int:
        """Send bytes of a response now or later; raises `ClientDisconnected` if the disk has too little room for them.

        Works around: waitress 3.0.2 keeps the connection when it cannot write a response to the disk. The client gets
        no more bytes and sees the end only after `WRITE_TIMEOUT_SECONDS`: measured 30.1 s, and with this 0.
        Drop when: waitress closes the connection.
        """
        if not self.total_outbufs_len:
            self.response_since = monotonic()
        try:
            self._check_disk()
            buffered: int = super().write_soon(data)
        except OSError as error:
            logger.error("There is no disk space for the rest of a response, which is cut short: %s", error)
            self.will_close = True
            self.server.pull_trigger()
            raise ClientDisconnected from error
        return buffered

    def send_rest(self) -> None:
        """Send what is left of a response, as much as the client takes now."""
        with self.outbuf_lock:
            # Another thread may have closed the connection.
            if self.connected:
                self._flush_exception(self._flush_some, do_close=False)

    def _check_disk(self) -> None:
        """Raise OSError if the response would go to a disk that is almost full."""
        if self.total_outbufs_len > self.adj.outbuf_overflow and find_free_bytes() < MIN_FREE_BYTES:
            raise OSError(f"{tempfile.gettempdir()} has less than {MIN_FREE_BYTES // 2**20} MiB free")

    def handle_write(self) -> None:
        """Send what can be sent.

        Works around: waitress 3.0.2 keeps back what is shorter than `send_bytes` while the next request of the same
        connection waits or runs, and calls this in a busy loop meanwhile. This repairs pipelining; it makes nothing
        faster.
        Drop when: `send_bytes` is 1 again, or waitress sends a response as soon as it is complete.
        """
        if self.requests:
            self._flush_exception(self._flush_some_if_lockable)
        super().handle_write()

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Block the sending thread while too much of its response is buffered.

        Works around: waitress 3.0.2 has one watermark, `outbuf_high_watermark` (16 MiB): the thread blocks above it and
        goes on below it. With that alone, the thread goes on after each few hundred KiB and the timeout starts again: a
        client that read 200 kB/s held a thread for 72 s despite a timeout of 5 s, and 6 s with this. Here the thread
        blocks while the responses of all clients exceed their budget, and goes on once its own is below 16 MiB.
        Drop when: waitress has a low watermark too.
        """
        if self.total_outbufs_len > self.adj.outbuf_high_watermark and self._exceeds_budget():
            self.blocked_since = monotonic()
            super()._flush_outbufs_below_high_watermark()
            self.blocked_since = None

    def _exceeds_budget(self) -> bool:
        """Tell whether all clients together have left too much unread: `MAX_BUFFERED_BYTES`, or half of the disk."""
        channels = list(self.server.active_channels.values())
        buffered: int = sum(channel.total_outbufs_len for channel in channels)
        return buffered > min(MAX_BUFFERED_BYTES, find_free_bytes())

    def checks_liveness(self) -> bool:
        """Tell whether the next request is one for /health/live."""
        request = self.requests[0]
        return not request.error and request.path == LIVENESS_PATH

    def is_overdue(self) -> bool:
        """Tell whether the client takes too long to send a request or to read a response. Call it every second.

        Works around: the timeout of waitress 3.0.2 starts again with each byte received, it never closes a connection
        whose client does not read, and it follows the wall clock.
        Drop when: waitress has timeouts for whole requests and for unread responses, all by time.monotonic().
        """
        if self.receiving_since is not None and (self.requests or self.total_outbufs_len):
            # waitress receives nothing meanwhile.
            self.receiving_since = monotonic()
        if self.total_outbufs_len:
            blocked_since = self.blocked_since
            if blocked_since is not None and monotonic() - blocked_since > BLOCKED_THREAD_TIMEOUT_SECONDS:
                return True
            # A response that took long to make is new.
            return monotonic() - max(self.last_activity, self.response_since) > WRITE_TIMEOUT_SECONDS
        if self.receiving_since is not None:
            return monotonic() - self.receiving_since > READ_TIMEOUT_SECONDS
        return not self.requests and monotonic() - self.last_activity > IDLE_TIMEOUT_SECONDS
