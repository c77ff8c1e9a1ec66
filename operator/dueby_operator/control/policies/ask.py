"""Ask: have the nodes been asked for that workers wait for, where pods alone don't ask?

nothing asks so, or it is asked already           nothing
a Job's workers wait, and nobody has been asked   a ProvisioningRequest for that Job
its request was refused, and none has a node      nothing, for as long as nodes would have taken; then the Job is
                                                  deleted, with its request, and what is left is planned again

A request is made of a Job that is there, and not beside it: whatever the operator is killed between, a Job without a
request gets one in the next pass. Until a refused Job is deleted its workers wait, and keep the jobs of the namespace
from asking that pool again (cluster/node_pools.py).
"""

from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import job_of
from dueby_operator.model.actions import MAX_STOPPED, Action, AskForNodes, StopJobs
from dueby_operator.model.job_snapshot import WorkerJob


def ask(inputs: PolicyInput) -> Outcome:
    """Ask for nodes, and delete the Jobs of workers that won't get any."""
    waiting = [] if inputs.is_full else _waiting(inputs)
    requests = inputs.job.requests
    unasked = tuple(found.name for found in waiting if found.name not in requests)
    refused = (found for found in waiting if found.name in requests and requests[found.name].refusal)
    over = tuple(found.name for found in refused if inputs.now_us >= _again_us(inputs, found))
    actions: list[Action] = [AskForNodes(jobs=unasked)] if unasked else []
    if over:
        actions.append(StopJobs(jobs=over[:MAX_STOPPED]))
    return Outcome(actions=tuple(actions))


def _waiting(inputs: PolicyInput) -> list[WorkerJob]:
    """Return the Jobs that ask for nodes by requests, and none of whose workers has been on a node."""
    placed = {job_of(pod) for pod in inputs.job.pods if pod.spec.node_name}
    return [
        found
        for found in inputs.job.worker_jobs
        if names.PROVISIONING_CLASS in found.job.metadata.annotations
        and found.assignments
        and found.name not in placed
        and not (found.job.is_over or found.job.spec.suspend or found.job.metadata.is_deleting)
    ]


def _again_us(inputs: PolicyInput, found: WorkerJob) -> int:
    """Return until when the pool isn't asked again, in microseconds since 1970."""
    return inputs.job.requests[found.name].refused_us + found.assignments[0].may_come_us
