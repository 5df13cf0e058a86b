"""Write the responses that waitress makes without the application, and end those of the application."""
import json
import logging
from time import monotonic
from typing import Any

import uuid_utils
from waitress.task import ErrorTask, WSGITask

from ..logs import format_address
from ..web.error_handlers import make_error_body
from ..web.request_state import QUEUE_SECONDS
from ..web.responses import DEFAULT_HEADERS

logger = logging.getLogger(__name__)


class JsonErrorTask(ErrorTask):
    """Writes waitress's own error responses in the JSON shape of all others.

    Works around: waitress 3.0.2 writes them as plain text, and has no option for that.
    Drop when: waitress lets the application write them.
    """

    def execute(self) -> None:
        """Write the response and a line in the log."""
        code = self.request.error.code
        error = make_error_body(code)
        body = json.dumps(error, separators=(",", ":")).encode() + b"\n"
        self.status = f"{code} {error['status']}"
        request_id = uuid_utils.uuid4().hex
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id} | DEFAULT_HEADERS
        self.response_headers += headers.items()
        self.set_close_on_finish()
        self.content_length = len(body)
        fields = {"address": format_address(self.channel.addr[0]), "status": code, "reason": error["message"]}
        logger.info("request", extra=fields | {"request_id": request_id})
        self.write(body)


class AppTask(WSGITask):
    """Runs the application for one request.

    Works around: waitress 3.0.2 ends a response to HEAD whose length is not known, such as a long list, with the last
    chunk of a body ("0\\r\\n\\r\\n"). HTTP allows no body there, and a proxy may take it for the next response. It also
    leaves what is shorter than `send_bytes` to the main loop: the response would wait while other requests run.
    Drop when: waitress sends no last chunk in response to HEAD, and lets a thread send the end of its response.
    """

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment, with the time that the request has waited for a thread."""
        environment: dict[str, Any] = super().get_environment()
        environment[QUEUE_SECONDS] = monotonic() - self.channel.queued_since
        return environment

    def finish(self) -> None:
        """Send what is left of the response."""
        if self.request.command == "HEAD":
            self.write(b"")
        else:
            super().finish()
        self.channel.send_rest()
