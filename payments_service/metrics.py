"""Metrics for Prometheus."""
import flask
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from .logs import elapsed_seconds
from .wire import REPLAYED

EXTENSION = "payments_metrics"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
# The endpoint that records payments.
ADD_PAYMENT_ENDPOINT = "payments.add_payment"


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "payments_requests", "Requests handled", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "payments_request_seconds",
            "Seconds until the response begins",
            ["route", "method"],
            registry=self.registry,
        )
        self.written = Counter("payments_written", "Payments recorded", registry=self.registry)
        self.database_errors = Counter(
            "payments_database_errors", "Requests that failed because of the database", registry=self.registry
        )

    def count(self, response: flask.Response) -> flask.Response:
        """Count the current request and its response."""
        request = flask.request
        # Without a route, the client chooses the path and the method: as labels, each would be a new time series.
        route, method = (request.url_rule.rule, request.method) if request.url_rule else ("", "")
        self.requests.labels(route, method, response.status_code).inc()
        self.seconds.labels(route, method).observe(elapsed_seconds())
        recorded = request.endpoint == ADD_PAYMENT_ENDPOINT and response.status_code == 201
        if recorded and REPLAYED not in response.headers:
            self.written.inc()
        if flask.g.get("database_failed"):
            self.database_errors.inc()
        return response


def count_database_error() -> None:
    """Count a database failure that happened while the response was already being sent."""
    flask.current_app.extensions[EXTENSION].database_errors.inc()


def current_metrics() -> bytes:
    """Return the current application's metrics in Prometheus' text format."""
    return prometheus_client.generate_latest(flask.current_app.extensions[EXTENSION].registry)


def init_app(app: flask.Flask) -> None:
    """Collect metrics of every request to `app`."""
    app.extensions[EXTENSION] = Metrics()
    app.after_request(app.extensions[EXTENSION].count)
