"""Queue: is the Kueue queue there that the job is to wait in?

no queueName, or the queue is there     nothing
it has workers, or every part is there  nothing: it waits for no quota
otherwise                               Admitted False, QueueNotFound; the job waits until somebody makes it, and what
                                        is reserved is left to others
"""

from dueby_api.conditions import Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.policies.plan import give_up_windows
from dueby_operator.model.conditions import NewCondition


def queue(inputs: PolicyInput) -> Outcome:
    """Hold a job whose queue doesn't exist."""
    name, namespace = inputs.spec.queue_name, inputs.job.namespace
    if not name or inputs.has_workers or inputs.is_full or inputs.shared.devices.has_queue(namespace, name):
        return Outcome()
    message = (
        f"There is no LocalQueue {name} in the namespace {namespace}, or no Kueue. Create the queue, or leave "
        "spec.queueName out."
    )
    missing = NewCondition(reason=Reason.QUEUE_NOT_FOUND, message=message)
    return Outcome(conditions=(missing,), status=give_up_windows(inputs.status), ends=True)
