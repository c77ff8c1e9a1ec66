"""What keeps pods from working, in the words of who knows: the scheduler, the kubelet, the Job's controller. Pure.

None of it ends a job: a node may come, a quota may be lifted, an image may be pushed. Until then the condition says
what is wrong, and the plan goes on without the workers that it concerns.
"""

from dueby_operator.control.conditions import Say
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import ABSENT_US, Seen, is_queued, not_starting, unschedulable


def trouble_of_step(seen: Seen, job_name: str) -> str:
    """Why a step's pod doesn't start; empty where nothing is wrong."""
    pods = [pod for pod in seen.pods if pod["metadata"]["labels"].get(names.JOB_OF_POD) == job_name]
    return next((told for pod in pods if (told := unschedulable(pod) or not_starting(pod))), "")


def admission_of(seen: Seen) -> Say:
    """Whether the cluster has room for every worker: the condition Admitted."""
    waiting = [crew.name for crew in seen.crews if is_queued(crew.job)]
    if waiting:
        queue = next(crew.job["metadata"]["labels"][names.QUEUE] for crew in seen.crews if is_queued(crew.job))
        told = f"{', '.join(waiting)} waits in the queue {queue}; `kubectl describe workloads` says for what."
        return Say(type="Admitted", status="False", reason="Queued", message=told)
    late = [key for key, since_us in seen.absent_since.items() if seen.now_us - since_us > ABSENT_US]
    if not late:
        return Say(type="Admitted", status="True", reason="Admitted")
    told = next((told for pod in seen.pods if (told := unschedulable(pod))), "")
    if told:
        return Say(
            type="Admitted",
            status="False",
            reason="Unschedulable",
            message=f"{len(late)} workers are on no node, and are planned without: {told}",
        )
    jobs = ", ".join(sorted({job for job, _ in late}))
    return Say(
        type="Admitted",
        status="False",
        reason="PodsNotCreated",
        message=f"{len(late)} workers have no pod, and are planned without; `kubectl describe job {jobs}` says why.",
    )


def start_trouble_of(seen: Seen) -> Say | None:
    """Why workers' containers don't start, as the condition OnTrack; None where nothing is wrong."""
    told = [told for pod in seen.pods if (told := not_starting(pod))]
    if not told:
        return None
    return Say(
        type="OnTrack", status="False", reason="PodsNotStarting", message=f"{len(told)} pods don't start: {told[0]}"
    )
