"""waitress as this service runs it: its limits, its stop, and its refusals in the one JSON shape."""
import json
import signal
import sys
from logging import ERROR, getLogger

import flask
import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import RequestEntityTooLarge

from . import database, wire
from .errors import error_body

# A body up to this size is read to its end before it is refused.
DISCARD_LIMIT = 16 * 1024 * 1024


class DiscardingParser(HTTPRequestParser):
    """Reads a body over the limit without keeping it; if we closed at once, the sender might never see the refusal."""

    to_discard = 0
    expect_continue: bool

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
        return taken


class JsonErrorTask(ErrorTask):
    """What waitress answers by itself to a request that is malformed or over its limits."""

    def execute(self) -> None:
        """Write the answer."""
        code = self.request.error.code
        refusal = error_body(code)
        body = json.dumps(refusal).encode()
        self.status = f"{code} {refusal['status']}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def serve(app: flask.Flask) -> None:
    """Serve `app` until SIGTERM or Ctrl-C; requests that run then are finished. Raises OSError for a port in use."""
    # waitress finishes what runs on SystemExit, but drops it if the signal ends the process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPChannel.parser_class = DiscardingParser
    HTTPChannel.error_task_class = JsonErrorTask
    # It warns of every request that waits for a thread, which under load floods the log.
    getLogger("waitress.queue").setLevel(ERROR)
    server = waitress.create_server(
        app,
        host=app.config["HOST"],
        port=app.config["PORT"],
        threads=app.config["THREADS"],
        # waitress refuses what reaches its limits, we what exceeds ours.
        max_request_body_size=wire.BODY_LIMIT + 1,
        max_request_header_size=wire.HEADER_LIMIT + 1,
        ident=None,
    )
    server.print_listen("Serving on http://{}:{}")
    server.run()
    database.close(app)
