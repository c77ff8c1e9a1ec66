"""Count the devices by the jobs that may use them. A job for which that raises is left out alone. Pure."""

from collections.abc import Callable, Sequence

from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.reserved import LeftAlone
from dueby_operator.model.devices import Devices
from dueby_operator.model.stacks import Stacks

Counted = Entry | LeftAlone


def count_devices(devices: Devices, jobs: Sequence[Counted], *, blame: Callable[[Counted, Exception], None]) -> Stacks:
    """Return the stacks that these jobs may use. One without which they can be counted is told to `blame`."""
    try:
        return devices.stacks([job.claimant for job in jobs])
    except Exception:  # one of them is the reason: alone it shows which
        return devices.stacks([job.claimant for job in jobs if _can_count(devices, job, blame)])


def _can_count(devices: Devices, job: Counted, blame: Callable[[Counted, Exception], None]) -> bool:
    try:
        devices.stacks([job.claimant])
    except Exception as error:  # whatever it is, it is this job's alone
        blame(job, error)
        return False
    return True
