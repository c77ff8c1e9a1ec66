"""Say which deadline can be met: what to write into the manifest, and until when the job then takes.

`dueby run` counts a `deadline` from its start, and plans only when the source is indexed. So what has passed until then
is part of the advice, and a little more, since it takes no less than that the next time.
"""

from dueby_api.inference_job import JobSpec
from dueby_api.units import MICROS_PER_SECOND, format_exactly, format_time

# Of what has passed until the plan was made; at least a second, and nothing where nothing has.
_ALLOWANCE = 4
# A manifest takes five digits of hours.
_MAX_HOURS = 99_999
_HOUR_US = 3600 * MICROS_PER_SECOND
# What it takes to write a time into the manifest and to start again.
_EDITING_US = 60 * MICROS_PER_SECOND


def advise_deadline(spec: JobSpec, earliest_us: int, *, now_us: int, start_us: int) -> str:
    """Return the advice for a job that was started then and is judged now, if work ends `earliest_us` from now."""
    passed_us = now_us - start_us
    allowance_us = max(MICROS_PER_SECOND, passed_us // _ALLOWANCE) if passed_us > 0 else 0
    needed_us = _whole_seconds(earliest_us + passed_us + allowance_us)
    if spec.deadline_time is not None:
        at_us = _whole_seconds(now_us + needed_us + _EDITING_US)
        return f"deadlineTime: {format_time(at_us)} (started within a minute)"
    if needed_us > _MAX_HOURS * _HOUR_US:
        return f"no deadline is enough (a manifest takes at most {_MAX_HOURS}h)"
    ends = format_time(_whole_seconds(now_us + needed_us))
    return f"deadline: {format_exactly(needed_us // MICROS_PER_SECOND)} (until {ends}, started now)"


def _whole_seconds(micros: int) -> int:
    """Return the time rounded up to a second."""
    return -(-micros // MICROS_PER_SECOND) * MICROS_PER_SECOND
