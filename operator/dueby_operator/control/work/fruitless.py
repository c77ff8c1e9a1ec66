"""When is it no use to start workers again? Pure.

Workers that are lost are replaced, since nodes fail. If they are lost again and again, and none of them has written a
part in between, then it is not the nodes: their image crashes as it starts, or their memory is too little for the
model. Such a job would keep devices from all others for ever. (An object of the source that kills its reader costs a
worker two lives at most: docs/decisions/0011.)

A worker that no node takes has shown nothing of that: others' pods may have what it was planned on, and leave one day.
It waits for a node, as more would, until the job's deadline.
"""

from dueby_api.status import Replan
from dueby_operator.jobs.pod_state import ending_of, pods_by_job, rest_state
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.schedule.job import ScheduledJob

# Replacements in a row without a part. Each one's workers have been started seven times by their Jobs, minutes apart.
MAX_FRUITLESS = 3
# Of a pod's own words: a condition has room for 4,096 letters.
MAX_WORDS = 400


def is_fruitless(job: JobSnapshot, replans: tuple[Replan, ...], scheduled: ScheduledJob) -> bool:
    """Return whether the last replacements of lost workers have brought no part to the sink.

    `dueby run` counts its lost processes itself, and its workers have no Jobs.
    """
    return bool(job.worker_jobs) and _are_in_vain(replans, scheduled, "WorkerLost") and not _lack_nodes_alone(job)


def is_no_use(job: JobSnapshot, replans: tuple[Replan, ...], scheduled: ScheduledJob) -> bool:
    """Return whether more workers would wait for a node, too, as those did that were started last."""
    return _are_in_vain(replans, scheduled, "WorkerLost", "Lagging") and _lack_nodes_alone(job)


def _are_in_vain(replans: tuple[Replan, ...], scheduled: ScheduledJob, *reasons: str) -> bool:
    last = replans[-MAX_FRUITLESS:]
    return len(last) == MAX_FRUITLESS and all(
        replan.reason in reasons and replan.images_in_sink == scheduled.images_in_sink for replan in last
    )


def _lack_nodes_alone(job: JobSnapshot) -> bool:
    """Return whether the workers that were lost have been on no node for half a minute, and none was given up."""
    was_given_up = any(
        rest_state(worker_job, index) == "lost"
        for worker_job in job.worker_jobs
        for index in range(len(worker_job.assignments))
    )
    return bool(job.absent) and not was_given_up


def fruitless_message(job: JobSnapshot) -> str:
    """Return the sentence for a job whose workers are lost again and again, with their last words if there are any."""
    by_job = pods_by_job(job.pods)
    endings = (ending_of(by_job.get(worker_job.name, ()), worker_job.name) for worker_job in reversed(job.worker_jobs))
    words = next(filter(None, (ending.sentence for ending in endings)), "")
    said = f' The last one said: "{words[:MAX_WORDS]}".' if words else ""
    return (
        f"Workers were lost and replaced {MAX_FRUITLESS} times in a row, and none of them has written a part."
        f"{said} See the logs of the job's pods (`kubectl logs -l dueby.dev/job={job.name} --prefix`). What is in the "
        "sink is kept; a job that is created again goes on from there."
    )
