"""The log: a line for each request, and how all lines look."""
import logging
import sys
from time import perf_counter
from typing import Any

import flask
import structlog

logger = logging.getLogger(__name__)

FIRST = ["time", "level", "event"]


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


def _add_request(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Add to what is logged during a request which one and whose it is."""
    if flask.has_request_context() and "request_id" in flask.g:
        return line | {"request_id": flask.g.request_id, "user": flask.g.get("user_id")}
    return line


def _escape(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Escape characters that would end the line or that a terminal would obey; a stack trace follows below it."""
    return {
        name: value if not isinstance(value, str) or value.isprintable() else ascii(value)[1:-1]
        for name, value in line.items()
        if name != "exc_info"
    }


def configure(log_format: str) -> None:
    """Let all that this process logs go to stderr, a line each: as `logfmt`, key=value, or as `json`."""
    processors: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors += [_escape, structlog.processors.LogfmtRenderer(key_order=FIRST)]
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", key="time"),
        _add_request,
        structlog.stdlib.ExtraAdder(),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=processors,
        foreign_pre_chain=before,
        # For people, a stack trace is easier to read below its line than in it.
        keep_exc_info=log_format != "json",
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def init_app(app: flask.Flask) -> None:
    """Log every request to `app`, after everything else that changes its answer."""
    app.after_request(_log_request)
