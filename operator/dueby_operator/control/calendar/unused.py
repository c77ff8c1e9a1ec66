"""Which devices are idle although jobs wait that could use them: those that are kept for somebody, or too few. Pure."""

from collections import Counter
from collections.abc import Mapping

from dueby_api.conditions import Reason
from dueby_api.status import JobStatus
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import has_reason, is_over
from dueby_operator.model.fault import Fault
from dueby_operator.model.idle_devices import IdleDevices
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks


def find_unused(planned: Mapping[JobKey, PolicyInput | Fault], stacks: Stacks, idle: IdleDevices) -> Mapping[str, int]:
    """Return by class the devices of the `idle` ones that a job which waits could use."""
    waiting = {key for key, after in planned.items() if isinstance(after, PolicyInput) and is_waiting(after.status)}
    counts: Counter[str] = Counter()
    for stack in stacks.all:
        if stack.users & waiting:
            counts[stack.device_class] += idle.left(stack.name)
    return counts


def is_waiting(status: JobStatus) -> bool:
    """Return whether a job is ready for workers and has had none."""
    plan = status.plan
    if is_over(status) or (plan is not None and plan.revision):
        return False
    return plan is not None or has_reason(status, Reason.WAITING)
