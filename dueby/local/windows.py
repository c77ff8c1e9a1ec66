"""A plan by windows as the record of a run has it: windows that begin now, and those that are reserved for later."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dueby_api.calendar import PlannedWindow
from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us, seconds
from dueby_operator.model.job_model import Assignment


def planned_windows(
    starting: Sequence[Assignment], reserved: Iterable[WindowStatus], *, now_us: int
) -> tuple[PlannedWindow, ...]:
    """Return both by time, counted from now; none if workers that start may keep their devices to the end."""
    if any(assignment.until_us is None for assignment in starting):
        return ()
    begun = Counter(_begun(assignment, now_us=now_us) for assignment in starting)
    found = [window.replace(count=count, images=count * window.images) for window, count in begun.items()]
    found += [_later(window, now_us=now_us) for window in reserved]
    return tuple(sorted(found, key=lambda window: (window.from_seconds, window.to_seconds, window.device_class)))


def _begun(assignment: Assignment, *, now_us: int) -> PlannedWindow:
    return PlannedWindow(
        device_class=assignment.device_class,
        engine=assignment.choice.engine,
        from_seconds=0.0,
        to_seconds=seconds((assignment.until_us or now_us) - now_us),
        count=1,
        mini_batch_size=assignment.choice.mini_batch_size,
        images=(assignment.iterations + 1) * assignment.choice.mini_batch_size,
    )


def _later(window: WindowStatus, *, now_us: int) -> PlannedWindow:
    return PlannedWindow(
        device_class=window.device_class,
        engine=window.engine,
        from_seconds=seconds(parse_time_us(window.from_time) - now_us),
        to_seconds=seconds(parse_time_us(window.to_time) - now_us),
        count=window.count,
        mini_batch_size=window.mini_batch_size,
        images=window.images,
    )
