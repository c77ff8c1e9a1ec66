"""When nodes go away, and when they come back: a node's annotation and taints, and the chart's maintenance. Pure."""

from collections.abc import Iterable, Mapping

from dueby_api.capacity import Timed, WeeklyWindow
from dueby_api.errors import Invalid
from dueby_operator.objects.nodes import Taint
from dueby_operator.objects.parse import micros_of
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule import spans
from dueby_planner.schedule.spans import Span, Spans, merged

DRAIN_AT = "dueby.dev/drain-at"
# Who takes nodes away says with these that all pods are evicted next, as from a spot node that is reclaimed.
LAST_TAINTS = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",  # before Karpenter 1.0
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "cloud.google.com/impending-node-termination",
        "remediator.kubernetes.azure.com/unschedulable",
    }
)


def read_drain_at(annotations: Mapping[str, str]) -> int | None:
    """Return when the node is to be drained, in microseconds since 1970; None if its annotations don't say.

    Raise Invalid if they say something that is no time.
    """
    text = annotations.get(DRAIN_AT)
    drain_at_us = micros_of(text)
    if text is not None and drain_at_us is None:
        raise Invalid(DRAIN_AT, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:40]!r}")
    return drain_at_us


def is_being_taken(taints: Iterable[Taint]) -> bool:
    """Return whether a node with these taints is being taken away now."""
    return any(taint.key in LAST_TAINTS for taint in taints)


def find_absences(labels: Mapping[str, str], maintenance: Iterable[Timed], *, drain_at_us: int | None = None) -> Spans:
    """Return when a node with these labels is away, in microseconds since 1970.

    Weekly windows are not among them. A node that is drained is away until its annotation is.
    """
    once = spans.find_once(window for window in maintenance if window.selects(labels))
    return once if drain_at_us is None else merged([*once, Span(drain_at_us, NEVER_US)])


def find_weekly(labels: Mapping[str, str], maintenance: Iterable[Timed]) -> tuple[WeeklyWindow, ...]:
    """Return the windows of each week in which a node with these labels is away."""
    return spans.find_weekly(window for window in maintenance if window.selects(labels))
