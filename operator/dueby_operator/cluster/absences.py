"""When nodes go away, and when they come back: a node's annotation, and the chart's maintenance windows. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from dueby_api.errors import Invalid
from dueby_api.units import to_micros
from dueby_operator.model.stacks import Absence
from dueby_operator.objects.parse import micros_of
from dueby_operator.settings import Maintenance
from dueby_planner.model.problem import NEVER_US

DRAIN_AT = "dueby.dev/drain-at"


def read_drain_at(annotations: Mapping[str, str]) -> int | None:
    """Return when the node is to be drained, in microseconds since 1970; None if its annotations don't say.

    Raise Invalid if they say something that is no time.
    """
    text = annotations.get(DRAIN_AT)
    drain_at_us = micros_of(text)
    if text is not None and drain_at_us is None:
        raise Invalid(DRAIN_AT, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:40]!r}")
    return drain_at_us


def find_absences(
    labels: Mapping[str, str], maintenance: Iterable[Maintenance], *, drain_at_us: int | None = None
) -> tuple[Absence, ...]:
    """Return when a node with these labels is away, in microseconds since 1970, in their order and with gaps between.

    A node that is drained is away until its annotation is.
    """
    found = [
        Absence(to_micros(window.from_time), to_micros(window.to_time))
        for window in maintenance
        if window.node_selector.items() <= labels.items()
    ]
    if drain_at_us is not None:
        found.append(Absence(drain_at_us, NEVER_US))
    merged: list[Absence] = []
    for absence in sorted(found):
        if merged and absence.from_us <= merged[-1].to_us:
            merged[-1] = Absence(merged[-1].from_us, max(absence.to_us, merged[-1].to_us))
        else:
            merged.append(absence)
    return tuple(merged)


def from_now(absences: Sequence[Absence], now_us: int) -> tuple[Absence, ...]:
    """Return those of the absences that are not over, in times from now."""
    return tuple(
        Absence(max(0, each.from_us - now_us), each.to_us if each.to_us == NEVER_US else each.to_us - now_us)
        for each in absences
        if each.to_us > now_us
    )
