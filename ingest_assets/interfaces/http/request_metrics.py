"""Metrics that one server collects about itself while it runs.

What belongs here: counters and gauges of requests, load and the process. What does not: metrics of the index
and of jobs, which are read from the ledger on every scrape (`metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestMetrics:
    """The metrics of one server, in their own registry, so that one process can run several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # CPU, memory and open files of the server's own process
        self._requests = Counter(
            "ingest_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ingest_http_seconds",
            "Seconds until a response began.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. Routes are patterns, not paths, so that there are few of them."""
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def counter(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, int]]) -> None:
        """Add a counter whose values, one for each value of a label, are read on every scrape."""
        self.registry.register(_Counted(name, text, label, values))

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read on every scrape."""
        Gauge(name, text, registry=self.registry).set_function(value)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted elsewhere, as a registry takes it."""

    name: str
    text: str
    label: str
    values: Callable[[], Mapping[str, int]]

    def collect(self) -> list[CounterMetricFamily]:
        family = CounterMetricFamily(self.name, self.text, labels=[self.label])
        for value, times in self.values().items():
            family.add_metric([value], times)
        return [family]
