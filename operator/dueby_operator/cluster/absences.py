"""When nodes go away, and come back: by what nodes say themselves, and by the chart's maintenance. Pure."""

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from dueby_api.capacity import Timed, WeeklyWindow
from dueby_api.errors import Invalid
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.objects.nodes import NodeObject
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
        "remediator.aks.microsoft.com/unschedulable",  # before 2023
    }
)
# AKS says what will be done with a node's machine: "Preempt Scheduled: Wed, 26 Feb 2025 10:13:13 GMT. [...]".
_EVENT_CONDITION = "VMEventScheduled"
_EVENT = re.compile(r"(?:Preempt|Terminate|Redeploy|Reboot) Scheduled: ?([^.]{0,60})")


def read_drain_at(annotations: Mapping[str, str]) -> int | None:
    """Return when the node is to be drained, in microseconds since 1970; None if its annotations don't say.

    Raise Invalid if they say something that is no time.
    """
    text = annotations.get(DRAIN_AT)
    drain_at_us = micros_of(text)
    if text is not None and drain_at_us is None:
        raise Invalid(DRAIN_AT, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:40]!r}")
    return drain_at_us


def read_notice(node: NodeObject) -> int | None:
    """Return when the node is taken away by those who lend it, in microseconds since 1970; None if nobody says so.

    0: now, also if it is not said when.
    """
    if node.metadata.is_deleting or any(taint.key in LAST_TAINTS for taint in node.spec.taints):
        return 0
    said = (each.message for each in node.status.conditions if each.type == _EVENT_CONDITION and each.status == "True")
    event = _EVENT.match(next(said, ""))
    if event is None:
        return None
    try:
        return round(parsedate_to_datetime(event[1]).timestamp()) * MICROS_PER_SECOND
    except ValueError:
        return 0


def find_absences(labels: Mapping[str, str], maintenance: Iterable[Timed], *, drain_at_us: int | None = None) -> Spans:
    """Return when a node with these labels is away, in microseconds since 1970.

    Weekly windows are not among them. A node that is drained is away until its annotation is.
    """
    once = spans.find_once(window for window in maintenance if window.selects(labels))
    return once if drain_at_us is None else merged([*once, Span(drain_at_us, NEVER_US)])


def find_weekly(labels: Mapping[str, str], maintenance: Iterable[Timed]) -> tuple[WeeklyWindow, ...]:
    """Return the windows of each week in which a node with these labels is away."""
    return spans.find_weekly(window for window in maintenance if window.selects(labels))
