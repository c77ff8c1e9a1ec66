"""Which job writes to a sink that several jobs name. The others would compute every row a second time. Pure.

Jobs of one namespace are compared, since another's may mean other credentials by the same text, and nobody shall keep
another namespace's jobs waiting. So may jobs that reach stores in different ways: other volumes, another endpoint. A
relative path is in each pod's own folder, and no two jobs share it.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping

from dueby_api.conditions import ConditionType
from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec
from dueby_api.places import place_of
from dueby_operator.control.conditions import condition, is_over
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.schedule.job import JobKey

# A variable whose name has one of these in it says where a store is: AWS_ENDPOINT_URL, AZURE_STORAGE_ACCOUNT_NAME.
_SAYS_WHERE = ("ENDPOINT", "ACCOUNT_NAME")


def sink_holders(jobs: Iterable[JobSnapshot]) -> dict[JobKey, JobKey]:
    """Return, by a job that has not begun, the job that writes to its sink or will do so before it."""
    rivals: Mapping[Hashable, list[JobSnapshot]] = defaultdict(list)
    for job in jobs:
        if isinstance(job.manifest, Invalid) or is_over(job.status) or job.is_deleting:
            continue
        if (sink := _sink_of(job.namespace, job.manifest.spec)) is not None:
            rivals[sink].append(job)
    held: dict[JobKey, JobKey] = {}
    for some in rivals.values():
        holder = min((job for job in some if _has_begun(job) or _may_begin(job)), key=_order, default=None)
        if holder is not None:
            held |= {job.key: holder.key for job in some if job is not holder and not _has_begun(job)}
    return held


def _sink_of(namespace: str, spec: JobSpec) -> Hashable | None:
    """Return what is equal for two jobs that write to the same place; None if no other job can.

    On one machine there are no namespaces, and the command has told sinks apart before (dueby/inputs/places.py).
    """
    if not namespace:
        return None
    place, worker = place_of(spec.sink.uri), spec.worker
    if place.scheme != "file":
        endpoints = tuple(variable for variable in worker.env if any(word in variable.name for word in _SAYS_WHERE))
        return namespace, place, endpoints, worker.env_from
    return (namespace, place, worker.volumes, worker.volume_mounts) if place.names[:1] == ("/",) else None


def _has_begun(job: JobSnapshot) -> bool:
    """Return whether its workers write to the sink, or did so before they were stopped.

    A job whose status was lost has no plan. What it once did in the sink may be over, and the sink another job's.
    """
    plan = job.status.plan
    return job.has_workers or (job.status.workers_seen is not None and plan is not None and plan.revision > 0)


def _may_begin(job: JobSnapshot) -> bool:
    """Return whether nothing is known that keeps it from its start: the others don't wait for one that can't."""
    if isinstance(job.manifest, Invalid) or job.manifest.spec.suspend or job.unreadable or job.forbidden or job.fault:
        return False
    told = (condition(job.status, kind) for kind in (ConditionType.PROFILED, ConditionType.FEASIBLE))
    return all(condition is None or condition.status == "True" for condition in told)


def _order(job: JobSnapshot) -> tuple[bool, int, str]:
    return not _has_begun(job), job.created_us, job.uid
