"""waitress as this service runs it: its limits, its stop, and its refusals in the one JSON shape."""
import json
import signal
import sys
from logging import ERROR, getLogger
from time import monotonic
from typing import Any

import flask
import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import RequestEntityTooLarge

from . import database
from .errors import BODY_LIMIT, HEADER_LIMIT, error_body

# A body up to this size is read to its end before it is refused.
DISCARD_LIMIT = 16 * 1024 * 1024
# How long a stop waits for answers on their way, as long as waitress waits for running requests.
STOP_SECONDS = 5


class DiscardingParser(HTTPRequestParser):
    """Reads a body over the limit without keeping it, and leaves the refusal to the application.

    The application knows what to refuse first. And if waitress closed at once, the sender might never see why.
    """

    to_discard = 0
    expect_continue: bool
    error: Any
    body_rcv: Any

    def received(self, data: bytes) -> int:
        """Take in some bytes of the request and return how many."""
        if self.to_discard:
            taken = min(self.to_discard, len(data))
            self.to_discard -= taken
            self.completed = not self.to_discard
            return taken
        taken = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge) and not self.chunked:
            if self.expect_continue:
                # The sender waits before the body, and gets the refusal in place of "100 Continue".
                self.expect_continue = False
            elif self.content_length <= DISCARD_LIMIT:
                self.to_discard = self.content_length
                self.completed = False
                self.error = self.body_rcv = None
        return taken


class JsonErrorTask(ErrorTask):
    """What waitress answers by itself to a request that is malformed or over its limits."""

    def execute(self) -> None:
        """Write the answer."""
        code = self.request.error.code
        refusal = error_body(code)
        body = json.dumps(refusal).encode() + b"\n"
        self.status = f"{code} {refusal['status']}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def serve(app: flask.Flask) -> None:
    """Serve `app` until SIGTERM or Ctrl-C, and finish what runs then.

    Raises OSError or ValueError for an address that cannot be listened on.
    """
    signal.signal(signal.SIGTERM, _stop)
    HTTPChannel.parser_class = DiscardingParser
    HTTPChannel.error_task_class = JsonErrorTask
    # It warns of every request that waits for a thread, which under load floods the log.
    getLogger("waitress.queue").setLevel(ERROR)
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=sockets,
        host=app.config["HOST"],
        port=app.config["PORT"],
        threads=app.config["THREADS"],
        # waitress refuses what reaches its limits, we what exceeds ours.
        max_request_body_size=BODY_LIMIT + 1,
        max_request_header_size=HEADER_LIMIT + 1,
        ident=None,
    )
    server.print_listen("Serving on http://{}:{}")
    server.run()
    _send_what_is_left(sockets)
    database.close(app)


def _stop(*_: Any) -> None:
    """Leave waitress' loop, upon which it finishes what runs. Another SIGTERM must not cut that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def _send_what_is_left(sockets: dict[int, Any]) -> None:
    """Send the rest of answers that are ready; waitress stops sending once its threads have ended."""
    deadline = monotonic() + STOP_SECONDS
    while monotonic() < deadline:
        unsent = {number: channel for number, channel in sockets.items() if getattr(channel, "total_outbufs_len", 0)}
        if not unsent:
            break
        # The seconds of one round; it ends as soon as a socket takes more.
        wasyncore.loop(timeout=1, map=unsent, count=1)
