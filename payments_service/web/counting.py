"""Counting requests for Prometheus."""
import flask

from .request_state import current_request, request_state
from .runtime import runtime


def count_request(response: flask.Response) -> flask.Response:
    """Count the current request and its response."""
    request, metrics, state = current_request(), runtime().metrics, request_state()
    rule = request.url_rule
    # Without a route, the method may be any text that a client sends, and each text would get a counter of its own.
    route, method = (rule.rule, request.method) if rule else ("", "")
    metrics.count_request(route, method, response.status_code, state.seconds)
    if state.database_failed:
        metrics.database_errors.inc()
    return response
