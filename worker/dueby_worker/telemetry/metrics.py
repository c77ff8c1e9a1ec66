"""Render the worker's progress for Prometheus.

The numbers are read from the `ProgressTracker` at each scrape. The loop itself never touches prometheus_client, which
is imported at the first scrape and costs a worker nothing until then. docs/metrics.md lists these metrics.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from dueby_api.step_messages import StoreWait
from dueby_worker.telemetry.progress import BUCKETS_S, PHASES, ProgressTracker, StepStatistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class _Number:
    """A metric that is one number."""

    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    """Without the `_total` that a counter gets."""
    help: str
    read: Callable[[ProgressTracker], float | None]
    """None while there is no number; the metric has no sample then."""


_counter, _gauge = partial(_Number, CounterMetricFamily), partial(_Number, GaugeMetricFamily)
_NUMBERS = (
    _counter("dueby_worker_images", "Images classified.", lambda progress: progress.images_classified),
    _gauge("dueby_worker_images_failed", "Rows with an error.", lambda progress: progress.images_failed),
    _counter("dueby_worker_parts_committed", "Parts put into the sink.", lambda progress: progress.parts_committed),
    _counter(
        "dueby_worker_parts_doubled",
        "Parts that another worker had put into the sink first.",
        lambda progress: progress.parts_doubled,
    ),
    _gauge("dueby_worker_in_flight", "Mini-batches submitted and not collected.", lambda progress: progress.in_flight),
    _gauge(
        "dueby_worker_last_batch_timestamp_seconds",
        "When the last mini-batch was done, by the clock of the worker's node.",
        lambda progress: progress.last_batch_at or 0,
    ),
    _gauge(
        "dueby_worker_last_batch_age_seconds",
        "Time since the last mini-batch, whatever the node's clock says.",
        lambda progress: progress.seconds_since_batch,
    ),
    _gauge(
        "dueby_worker_startup_seconds",
        "From the process's creation to its first mini-batch, without its wait for a plan.",
        lambda progress: (progress.startup_us or 0) / 1e6,
    ),
    _gauge(
        "dueby_worker_warmup_seconds", "The first mini-batch.", lambda progress: (progress.steps.warmup_us or 0) / 1e6
    ),
    _counter(
        "dueby_worker_model_seconds",
        "Time that the model took of the steady steps.",
        lambda progress: progress.steps.model_total_us / 1e6,
    ),
    _counter(
        "dueby_worker_input_wait_seconds",
        "Time of the steady steps in which the loop waited for images.",
        lambda progress: progress.steps.input_total_us / 1e6,
    ),
    _gauge(
        "dueby_worker_observed_requests_per_second",
        "Requests a second that the images' store gave when it refused more.",
        lambda progress: progress.find_observed_requests(),
    ),
)


def render(progress: ProgressTracker) -> bytes:
    registry = CollectorRegistry()
    registry.register(_ProgressCollector(progress))
    return generate_latest(registry)


class _ProgressCollector(Collector):
    """Reads a worker's progress for one scrape."""

    def __init__(self, progress: ProgressTracker) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of a worker."""
        progress = self._progress
        with progress.lock:
            for number in _NUMBERS:
                yield number.kind(number.name, number.help, value=number.read(progress))
            yield _histogram(progress.steps)
            yield _waiting(progress.waits_for)
            yield StateSetMetricFamily(
                "dueby_worker_state",
                "What the worker is doing.",
                value={phase: phase == progress.state for phase in PHASES},
            )


def _waiting(wait: StoreWait | None) -> GaugeMetricFamily:
    """Return how long the worker has been waiting for each of its stores."""
    family = GaugeMetricFamily(
        "dueby_worker_store_wait_seconds", "How long it has been waiting for a store.", labels=["store"]
    )
    for store in ("sink", "source"):
        family.add_metric([store], wait.seconds if wait and wait.store == store else 0.0)
    return family


def _histogram(steps: StepStatistics) -> HistogramMetricFamily:
    """Return the steady steps as a histogram, whose buckets are cumulative in Prometheus."""
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    cumulated = [sum(steps.buckets[: index + 1]) for index in range(len(bounds))]
    return HistogramMetricFamily(
        "dueby_worker_step_seconds",
        "Steady steps, from one mini-batch's result to the next one's.",
        buckets=list(zip(bounds, cumulated)),
        sum_value=steps.total_us / 1e6,
    )
