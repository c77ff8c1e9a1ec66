"""Render the worker's progress for Prometheus.

The numbers are read from the `ProgressTracker` at each scrape. The loop itself never touches prometheus_client, which
is imported at the first scrape and costs a worker nothing until then. docs/metrics.md lists these metrics.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
from dueby_worker.telemetry.progress import PHASES, ProgressTracker
from dueby_worker.telemetry.step_statistics import BUCKETS_S, StepStatistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class _Number:
    """A metric that is one number."""

    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    """Without the `_total` that a counter gets."""
    help: str
    read: Callable[[ProgressTracker], float | None]
    """None while there is no number; the metric has no sample then."""


_NUMBERS = (
    _Number(
        kind=CounterMetricFamily,
        name="dueby_worker_images",
        help="Images classified.",
        read=lambda progress: progress.images_classified,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_images_failed",
        help="Rows with an error.",
        read=lambda progress: progress.images_failed,
    ),
    _Number(
        kind=CounterMetricFamily,
        name="dueby_worker_parts_committed",
        help="Parts put into the sink.",
        read=lambda progress: progress.parts_committed,
    ),
    _Number(
        kind=CounterMetricFamily,
        name="dueby_worker_parts_doubled",
        help="Parts that another worker had put into the sink first.",
        read=lambda progress: progress.parts_doubled,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_in_flight",
        help="Mini-batches submitted and not collected.",
        read=lambda progress: progress.in_flight,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_last_batch_timestamp_seconds",
        help="When the last mini-batch was done, by the clock of the worker's node.",
        read=lambda progress: progress.last_batch_at or 0,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_last_batch_age_seconds",
        help="Time since the last mini-batch, whatever the node's clock says.",
        read=lambda progress: progress.seconds_since_batch,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_startup_seconds",
        help="From the process's creation to its first mini-batch, without its wait for a plan.",
        read=lambda progress: (progress.startup_us or 0) / 1e6,
    ),
    _Number(
        kind=GaugeMetricFamily,
        name="dueby_worker_warmup_seconds",
        help="The first mini-batch.",
        read=lambda progress: (progress.steps.warmup_us or 0) / 1e6,
    ),
    _Number(
        kind=CounterMetricFamily,
        name="dueby_worker_model_seconds",
        help="Time that the model took of the steady steps.",
        read=lambda progress: progress.steps.model_total_us / 1e6,
    ),
)


def render(progress: ProgressTracker) -> bytes:
    """Return the page for a scrape."""
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
