"""Stop: has the deadline passed for a job that has not come to have workers?

onDeadline is Stop, and the deadline passed     Failed, Stopped: it waits for nothing any more, and nothing is started
otherwise                                       nothing

It is asked after all others, of a job that one of them holds back. A job that gets as far as its workers is stopped by
the finish policy, which knows whether every part is there.
"""

from dataclasses import replace

from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import is_over
from dueby_operator.control.policies.finish import stop_at_deadline


def stop(end: PolicyInput) -> PolicyInput:
    """Return the job as the chain has left it; stopped if it waits beyond its deadline for what it needs to start."""
    is_held_back = end.model is None and not end.job.workers and not is_over(end.status)
    is_late = end.spec.on_deadline == "Stop" and end.now_us >= end.deadline_us
    return replace(end, actions=()).after(stop_at_deadline()) if is_held_back and is_late else end
