"""Ask: have the nodes been asked for that workers wait for, where pods alone don't ask?

nothing asks so, or it is asked already           nothing
a Job's workers wait, and nobody has been asked   a request for that Job
a device is free that a Job has awaited           its buffer is deleted, and it has its pods made
its request was refused, and none has a node      nothing, for as long as nodes would have taken; then the Job is
                                                  deleted, with its request, and what is left is planned again
no node has come in time, and none is promised    the same, from when they should have come

A request is made of a Job that is there, and not beside it: whatever the operator is killed between, a Job without a
request gets one in the next pass. Until such a Job is deleted its workers wait, and keep the jobs of the namespace
from asking that pool again (cluster/node_pools.py).
"""

from dueby_operator.cluster.nodes import free_devices
from dueby_operator.cluster.requests import tolerations_of
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.jobs.capacity_requests import asked_by
from dueby_operator.jobs.pod_state import awaits_nodes, is_suspended, job_of
from dueby_operator.model.actions import MAX_STOPPED, Action, AskForNodes, LetStart, StopJobs
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.objects.capacity_requests import CapacityRequest


def ask(inputs: PolicyInput) -> Outcome:
    """Ask for nodes, have Jobs begin whose nodes have come, and delete those of workers that won't get any."""
    waiting = [] if inputs.is_full else _waiting(inputs)
    ready = tuple(found.name for found in waiting if awaits_nodes(found.job) and _has_come(inputs, found))
    asking = [(found, inputs.job.requests.get(found.name)) for found in waiting if found.name not in ready]
    unasked = tuple(found.name for found, request in asking if request is None)
    over = tuple(found.name for found, request in asking if request and inputs.now_us >= _again_us(found, request))
    actions: list[Action] = []
    if ready:
        actions.append(LetStart(jobs=ready))
    if unasked:
        actions.append(AskForNodes(jobs=unasked))
    if over:
        actions.append(StopJobs(jobs=over[:MAX_STOPPED]))
    return Outcome(actions=tuple(actions))


def _waiting(inputs: PolicyInput) -> list[WorkerJob]:
    """Return the Jobs that ask for nodes by requests, and none of whose workers has been on a node."""
    placed = {job_of(pod) for pod in inputs.job.pods if pod.spec.node_name}
    return [
        found
        for found in inputs.job.worker_jobs
        if asked_by(found.job)
        and found.assignments
        and found.name not in placed
        and not (found.job.is_over or is_suspended(found.job) or found.job.metadata.is_deleting)
    ]


def _has_come(inputs: PolicyInput, found: WorkerJob) -> bool:
    """Return whether a node of the pool has a device free for one of the Job's workers.

    One is enough. The others' pods ask for what is missing, and nodes that are on their way count for them.
    """
    first = found.assignments[0]
    nodes = [node for node in inputs.nodes.values() if node.pool == first.pool and node.is_ready]
    return free_devices(nodes, first.device_class, requests={}, tolerations=tolerations_of(inputs.spec)) > 0


def _again_us(found: WorkerJob, request: CapacityRequest) -> float:
    """Return when the pool may be asked again, in microseconds since 1970; infinity while a node may still come."""
    may_come_us, since_us = found.assignments[0].may_come_us, found.job.metadata.created_us
    if request.refusal:
        return request.refused_us + may_come_us
    if request.is_doubtful and since_us is not None:
        return since_us + 2 * may_come_us
    return float("inf")
