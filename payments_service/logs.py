"""The log: a line for each request, and how all lines look."""
import json
import logging
import re
import sys
from datetime import datetime, timezone
from time import perf_counter
from typing import Any

import flask

logger = logging.getLogger(__name__)

# What else a record has was given by who logged it.
OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}
# In logfmt a value with one of these stands in quotes.
MEANS_MORE = re.compile(r'[ ="]')


def seconds_taken() -> Any:
    """Return for how long the current request has been served."""
    return perf_counter() - flask.g.began


def _log_request(response: flask.Response) -> flask.Response:
    """Log the request, without what it carries: its cookies, its body and the rest of its address are not for a log."""
    request = flask.request
    described = {
        "address": request.remote_addr,
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "status": response.status_code,
        "ms": round(seconds_taken() * 1000, 1),
    }
    logger.info("request", extra=described)
    return response


class LineFormatter(logging.Formatter):
    """Makes a line of each record, also of those that libraries log: as `logfmt`, key=value, or as `json`."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self.as_json = log_format == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; for people a stack trace follows below it, where it is easier to read than in it."""
        moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if flask.has_request_context() and "request_id" in flask.g:
            line |= {"request_id": flask.g.request_id, "user": flask.g.get("user_id")}
        line |= {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}
        trace = {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        if self.as_json:
            return json.dumps(line | trace, default=repr)
        return "\n".join([" ".join(f"{name}={_logfmt(value)}" for name, value in line.items()), *trace.values()])


def _logfmt(value: Any) -> str:
    """Return a value as text without characters that would end the line or that a terminal would obey."""
    text = "" if value is None else str(value)
    if not text.isprintable():
        text = ascii(text)[1:-1]
    if not MEANS_MORE.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def configure(log_format: str) -> None:
    """Let all that this process logs go to stderr, a line each: as `logfmt`, key=value, or as `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def init_app(app: flask.Flask) -> None:
    """Log every request to `app`, after everything else that changes its answer."""
    app.after_request(_log_request)
