"""The metrics of an application, for Prometheus."""
import functools

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The counters of one application. Others in the same process have their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "payments_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "payments_request_seconds", "Time to answer a request", ["route", "method"], registry=self.registry
        )
        # Finding the counter of some labels takes as long as counting.
        self._requests_of = functools.cache(self.requests.labels)
        self._seconds_of = functools.cache(self.seconds.labels)
        self.payments = Counter("payments_written", "Payments recorded", registry=self.registry)
        self.database_errors = Counter(
            "payments_database_errors", "Requests that failed because of the database", registry=self.registry
        )

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request, and observe the seconds until its response began."""
        self._requests_of(route, method, status).inc()
        self._seconds_of(route, method).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self.registry)
