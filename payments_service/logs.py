"""Logging: one line for each request, and the format of all log lines."""
import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import Any

import flask

from .web.request_state import current_request, find_request_state, request_state

logger = logging.getLogger(__name__)

# Attributes that every log record has. All others come from the `extra` argument of the logging call.
RECORD_ATTRIBUTES = {*vars(logging.makeLogRecord({})), "message", "asctime"}
# logfmt puts a value in quotes if it contains one of these characters.
NEEDS_QUOTES = re.compile(r'[ ="]')


def log_request(response: flask.Response) -> flask.Response:
    """Log the request by its route. Its cookies, body, path and query may be confidential."""
    request, state = current_request(), request_state()
    fields = {
        "address": format_address(request.remote_addr or ""),
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "ms": round(state.seconds * 1000, 1),
    }
    if state.reason:
        fields["reason"] = state.reason
    logger.info("request", extra=fields)
    return response


def format_address(address: str) -> str:
    """Return an address, an IPv4-mapped one (::ffff:203.0.113.9) as the IPv4 address: a socket for IPv6 shows those."""
    return address.removeprefix("::ffff:") if "." in address else address


class LineFormatter(logging.Formatter):
    """Formats each log record, also those of libraries, as one line of `logfmt` (key=value) or `json`."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self.as_json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. In logfmt, a stack trace follows on lines of its own, where people can read it."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if state := find_request_state():
            line |= {"request_id": state.request_id, "user": state.user_id}
        line |= {name: value for name, value in vars(record).items() if name not in RECORD_ATTRIBUTES}
        trace = {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        if self.as_json:
            return json.dumps(line | trace, default=repr)
        return "\n".join([" ".join(f"{name}={_to_logfmt(value)}" for name, value in line.items()), *trace.values()])


def _to_logfmt(value: Any) -> str:
    """Return a value as logfmt text. Line breaks and terminal control characters are escaped."""
    text = "" if value is None else str(value)
    if not text.isprintable():
        text = ascii(text)[1:-1]
    if not NEEDS_QUOTES.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def configure(log_format: str) -> None:
    """Send all log records of this process to stderr, one line each, as `logfmt` (key=value) or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
