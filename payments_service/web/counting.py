"""Counting requests for Prometheus."""
import flask

from .request_state import request_state
from .runtime import runtime


def count_request(response: flask.Response) -> flask.Response:
    """Count the current request and its response."""
    rule, metrics, state = flask.request.url_rule, runtime().metrics, request_state()
    # Without a route, the method may be any text that a client sends, and each text would get a counter of its own.
    route, method = (rule.rule, flask.request.method) if rule else ("", "")
    metrics.count_request(route, method, response.status_code, state.seconds)
    if state.database_failed:
        metrics.database_errors.inc()
    return response
