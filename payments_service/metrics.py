"""What is counted, for Prometheus."""
import flask
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from .logs import seconds_taken
from .wire import REPLAYED

EXTENSION = "payments_metrics"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
# The endpoint that records payments.
ADDS = "payments.add_payment"


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "payments_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "payments_request_seconds", "Time to answer a request", ["route", "method"], registry=self.registry
        )
        self.written = Counter("payments_written", "Payments recorded", registry=self.registry)
        self.database_errors = Counter(
            "payments_database_errors", "Requests that the database failed", registry=self.registry
        )

    def count(self, response: flask.Response) -> flask.Response:
        """Count the current request, which is answered by `response`."""
        request = flask.request
        # Where there is no route, callers choose the method too, and each would be counted by itself for good.
        route, method = (request.url_rule.rule, request.method) if request.url_rule else ("", "")
        self.requests.labels(route, method, response.status_code).inc()
        self.seconds.labels(route, method).observe(seconds_taken())
        if request.endpoint == ADDS and response.status_code == 201 and REPLAYED not in response.headers:
            self.written.inc()
        if flask.g.get("database_failed"):
            self.database_errors.inc()
        return response


def count_database_error() -> None:
    """Count a request that the database failed after its answer had begun."""
    flask.current_app.extensions[EXTENSION].database_errors.inc()


def current_metrics() -> bytes:
    """Return the current application's metrics, in Prometheus' text format."""
    return prometheus_client.generate_latest(flask.current_app.extensions[EXTENSION].registry)


def init_app(app: flask.Flask) -> None:
    """Count the requests to `app`."""
    app.extensions[EXTENSION] = Metrics()
    app.after_request(app.extensions[EXTENSION].count)
