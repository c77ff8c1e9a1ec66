"""The worker's progress in Prometheus' format.

The numbers are read from `Progress` when they are asked for; the loop itself never touches prometheus_client, which is
loaded at the first scrape and costs a worker nothing until then.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from dueby_worker.telemetry.progress import STATES, Progress
from dueby_worker.telemetry.step_statistics import BUCKETS_S, Steps

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(progress: Progress) -> bytes:
    """The page for a scrape."""
    registry = CollectorRegistry()
    registry.register(_ProgressCollector(progress))
    return generate_latest(registry)


class _ProgressCollector(Collector):
    """One scrape's view of a worker's progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        """Every metric of a worker."""
        progress = self._progress
        with progress.lock:
            yield CounterMetricFamily("dueby_worker_images", "Images classified.", value=progress.images_classified)
            yield GaugeMetricFamily("dueby_worker_images_failed", "Rows with an error.", value=progress.images_failed)
            yield CounterMetricFamily(
                "dueby_worker_parts_committed", "Parts put into the sink.", value=progress.parts_committed
            )
            yield CounterMetricFamily(
                "dueby_worker_parts_doubled",
                "Parts that another worker had put there first.",
                value=progress.parts_doubled,
            )
            yield GaugeMetricFamily(
                "dueby_worker_in_flight", "Mini-batches submitted and not collected.", value=progress.in_flight
            )
            yield GaugeMetricFamily(
                "dueby_worker_last_batch_timestamp_seconds",
                "When the last mini-batch was done.",
                value=progress.last_batch_at or 0,
            )
            yield GaugeMetricFamily(
                "dueby_worker_startup_seconds",
                "From the process's creation to its first mini-batch.",
                value=(progress.startup_us or 0) / 1e6,
            )
            yield GaugeMetricFamily(
                "dueby_worker_warmup_seconds", "The first mini-batch.", value=(progress.steps.warmup_us or 0) / 1e6
            )
            yield CounterMetricFamily(
                "dueby_worker_model_seconds",
                "Time of the steady steps that the model took.",
                value=progress.steps.model_total_us / 1e6,
            )
            yield _histogram(progress.steps)
            yield StateSetMetricFamily(
                "dueby_worker_state",
                "What the worker is doing.",
                value={state: state == progress.state for state in STATES},
            )


def _histogram(steps: Steps) -> HistogramMetricFamily:
    """The steady steps, cumulated as Prometheus wants them."""
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    cumulated = [sum(steps.buckets[: place + 1]) for place in range(len(bounds))]
    return HistogramMetricFamily(
        "dueby_worker_step_seconds",
        "Steady steps, from one mini-batch's result to the next one's.",
        buckets=list(zip(bounds, cumulated)),
        sum_value=steps.total_us / 1e6,
    )
