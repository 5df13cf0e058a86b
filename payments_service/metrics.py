"""The metrics of an application, for Prometheus."""
import functools

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
# In seconds. A guest takes some to a minute; a late payment is found within a day.
SETTLE_BUCKETS = (2, 5, 10, 20, 30, 60, 120, 300, 600, 3600, 86_400)


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

        self.open_invoices = Gauge(
            "payments_lightning_open_invoices", "Invoices that can be paid now", registry=self.registry
        )
        self.oldest_open_seconds = Gauge(
            "payments_lightning_oldest_open_seconds", "Age of the oldest of them", registry=self.registry
        )
        self.settle_seconds = Histogram(
            "payments_lightning_settle_seconds",
            "Time from the request for an invoice until its payment was recorded",
            buckets=SETTLE_BUCKETS,
            registry=self.registry,
        )
        self.backend_errors = Counter(
            "payments_lightning_backend_errors", "Calls of the Lightning node that failed", ["backend"],
            registry=self.registry,
        )

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request, and observe the seconds until its response began."""
        self._requests_of(route, method, status).inc()
        self._seconds_of(route, method).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self.registry)
