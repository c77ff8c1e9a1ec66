"""Stop: has the deadline passed for a job that has not come to have workers?

onDeadline is Stop, and the deadline passed     Failed, Stopped: it waits for nothing any more
otherwise                                       nothing

A job with workers is stopped by the finish policy, which knows whether every part is there.
"""

from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.policies.finish import stop_at_deadline


def stop(given: PolicyInput) -> Outcome:
    """End a job that waits for its index, its profiles, its queue or a device beyond its deadline."""
    is_late = given.spec.on_deadline == "Stop" and given.now_us >= given.deadline_us
    return stop_at_deadline() if is_late and not given.job.workers and "finish" not in given.job.steps else Outcome()
