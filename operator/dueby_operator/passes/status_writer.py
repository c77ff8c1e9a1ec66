"""Writes jobs' statuses: what has changed, and that of one job only so often, whatever its pods do.

Progress changes in every pass, and a worker that comes and goes changes conditions in every pass. Each write is a
request, a row of `kubectl get --watch`, and an Event after it. So each job has a budget of writes that fills up again
slowly. What begins, moves or ends workers, plans and jobs is written whatever is left, since others depend on it.

A status is written over the version of the job that was decided on. A label or an annotation that has changed since
makes no difference. A status that somebody else has written does: it is another operator's. After an edit of the spec
the job is decided on again; but one that somebody edits all the time would never start, so after some passes in a row
the decision counts, and the status says which generation it is about.
"""

from collections.abc import Collection
from dataclasses import dataclass

from dueby_api.conditions import ConditionType
from dueby_api.inference_job import API_VERSION
from dueby_api.status import JobStatus, read_status
from dueby_operator import paths
from dueby_operator.control.conditions import is_over
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.kube.client import Conflict, Kube, Missing, parse_list
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.stored_jobs import StoredJob

# Progress, and what messages say of it, changes in every pass. If nothing else has, it is written this often: otherwise
# 100 jobs were 50 writes a second, and each is another row of `kubectl get --watch`.
PROGRESS_US = 10_000_000
# Writes of one job in a row, and how long it takes until there may be one more. A job that nobody disturbs changes its
# conditions five times until its workers run.
MAX_WRITES, REFILL_US = 10, 10_000_000
# Passes in a row whose decision an edit makes void, and attempts at a write beside whoever changes labels.
MAX_VOID, MAX_ATTEMPTS = 3, 5


@dataclass(frozen=True, kw_only=True)
class StoredStatus:
    """A job's status as the API server has it."""

    status: JobStatus
    version: str
    """The job's resourceVersion."""


@dataclass(kw_only=True)
class WriteBudget:
    """What one job may write."""

    written_us: int = 0
    """When its status was written last."""
    spent_until_us: int = 0
    """When the budget will be full again."""
    void: int = 0
    """Passes in a row whose decision was not written, since the job was edited meanwhile."""

    def allows(self, now_us: int) -> bool:
        return self.spent_until_us - now_us <= (MAX_WRITES - 1) * REFILL_US

    def spend(self, now_us: int) -> None:
        """Note a write. It costs no more than all of the budget."""
        self.written_us = now_us
        self.spent_until_us = min(max(self.spent_until_us, now_us) + REFILL_US, now_us + MAX_WRITES * REFILL_US)


class JobStatusWriter:
    """Writes the statuses of all jobs."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._budgets: dict[str, WriteBudget] = {}
        """By the job's uid."""

    def forget_all_but(self, uids: Collection[str]) -> None:
        self._budgets = {uid: budget for uid, budget in self._budgets.items() if uid in uids}

    async def write(self, decision: JobDecision, stored: StoredStatus, *, now_us: int) -> StoredStatus:
        """Write the status if it has changed, what can wait not in every pass; return what is stored then."""
        job, status = decision.job, decision.status
        budget = self._budgets.setdefault(job.uid, WriteBudget())
        if status == stored.status or not _is_due(decision, stored.status, budget, now_us=now_us):
            return stored
        budget.spend(now_us)
        version = await self._write_over(job, status, stored, budget)
        budget.void = 0
        return StoredStatus(status=status, version=version)

    async def _write_over(self, job: JobSnapshot, status: JobStatus, stored: StoredStatus, budget: WriteBudget) -> str:
        """Write the status over the stored one; return the job's new version. Raise Conflict if it was edited."""
        version = stored.version
        metadata = {"name": job.name, "namespace": job.namespace, "uid": job.uid}
        body = {"apiVersion": API_VERSION, "kind": "InferenceJob", "status": status.document()}
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._kube.replace(
                    paths.jobs_path(job.namespace, job.name, "status"),
                    {**body, "metadata": {**metadata, "resourceVersion": version}},
                )
            except Conflict:
                current = await self._find(job)
            identity = current.metadata
            if read_status(JobStatus, current.status) != stored.status:
                raise Conflict("somebody else has written the job's status")
            if identity.generation != job.generation and budget.void < MAX_VOID:
                budget.void += 1
                break
            version = identity.resource_version
        raise Conflict("the job was edited while it was decided on")

    async def _find(self, job: JobSnapshot) -> StoredJob:
        """Return the job as it is now. Raise Missing if it is gone."""
        # By a list, since more than that the operator may not read of jobs.
        jobs = paths.jobs_path(job.namespace)
        for candidate in await parse_list(self._kube, jobs, StoredJob, fieldSelector=f"metadata.name={job.name}"):
            if candidate.metadata.uid == job.uid:
                return candidate
        raise Missing(f"{job.namespace}/{job.name} is gone")


def _is_due(decision: JobDecision, stored: JobStatus, budget: WriteBudget, *, now_us: int) -> bool:
    """Return whether a status that has changed is to be written now."""
    status = decision.status
    if without_words(status) == without_words(stored):
        return now_us >= budget.written_us + PROGRESS_US
    return _is_needed(decision, stored) or budget.allows(now_us)


def _is_needed(decision: JobDecision, stored: JobStatus) -> bool:
    """Return whether others depend on the change: plans, windows, workers, the job's end, an edit, a fault."""
    status = decision.status
    return (
        bool(decision.actions or decision.fault)
        or status.plan != stored.plan
        or (status.workers_seen, status.replans) != (stored.workers_seen, stored.replans)
        or status.observed_generation != stored.observed_generation
        or is_over(status)
    )


def without_words(status: JobStatus) -> JobStatus:
    """Return the status without what changes while nothing happens: progress, and the messages beside reasons."""
    conditions = tuple(condition.replace(message="") for condition in status.conditions)
    cost = status.cost if is_over(status) else None  # what is expected moves with the progress
    return status.replace(progress=None, message=None, cost=cost, conditions=conditions)


def least_status(status: JobStatus) -> JobStatus:
    """Return the least that a status can say: whether the job has failed, and why."""
    return JobStatus(
        observed_generation=status.observed_generation,
        phase=status.phase,
        conditions=tuple(condition for condition in status.conditions if condition.type == ConditionType.FAILED),
        message=status.message,
    )
