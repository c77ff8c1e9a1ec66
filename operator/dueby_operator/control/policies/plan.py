"""Plan: which workers does the job have from now on, and will they be in time?

a worker says that the job is wrong           Failed, InvalidJob: what one worker refuses, all would
the API server has forbidden it lately        nothing until it is tried again
no workers yet, and no device for one         Feasible Unknown, Waiting
no plan yet                                   the workers of the plan are started, or the job is refused
the workers will be late                      the fewest helpers are started
fewer workers would do, or they hang          one is stopped
"""

from collections.abc import Sequence
from dataclasses import replace

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.conditions import is_true
from dueby_operator.control.work.build_model import build_model
from dueby_operator.control.work.changes import change_workers
from dueby_operator.control.work.decide import decide_workers
from dueby_operator.control.work.decision import WorkDecision
from dueby_operator.control.work.progress_status import progress_status, track_conditions
from dueby_operator.jobs.pod_diagnosis import diagnose_admission
from dueby_operator.jobs.pod_state import ending_of
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_model import JobModel
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.memory import JobMemory


def plan(given: PolicyInput) -> Outcome:
    """Return what to change about the job's workers, and how far it is."""
    if not is_true(given.status, ConditionType.INDEXED):
        return Outcome(ends=True)  # it was profiled meanwhile
    if fault := _fault_of(given.job):
        return failed(Reason.INVALID_JOB, fault)
    if given.now_us < given.memory.refused_until_us:
        return Outcome(ends=True)
    model = build_model(given)
    admission = diagnose_admission(given.job)
    # Profiles may be of classes that the job doesn't name.
    named = [name for name in sorted(model.counts) if name in (model.spec.gpus.classes or model.counts)]
    if not model.workers and (model.most == 0 or not any(model.counts[name] for name in named)):
        return Outcome(conditions=(admission, _waiting(given, named)), ends=True)
    work = decide_workers(model)
    decided = replace(given, memory=_remember(given, model, work)).after(
        Outcome(
            conditions=(admission, *track_conditions(given.job, model, work)),
            status=given.status.replace(progress=progress_status(given, model, work)),
        )
    )
    change = change_workers(decided, model, work)
    return replace(
        change,
        # The conditions are merged already; those of the change come on top.
        status=change.status or decided.status,
        memory=change.memory or decided.memory,
        model=model,
        work=work,
    )


def _fault_of(job: JobSnapshot) -> str:
    """Return what a worker says is wrong with the job; empty if none does."""
    endings = (ending_of(job.pods, worker_job.name) for worker_job in job.worker_jobs)
    return next((ending.sentence or "a worker refused the job" for ending in endings if ending.is_final), "")


def _waiting(given: PolicyInput, classes: Sequence[str]) -> NewCondition:
    devices = given.shared.devices
    message = f"No device of the classes {', '.join(classes)} is free"
    shortages = [devices.shortage(given.spec, name) for name in classes]
    if missing := [words for words in (*shortages, devices.uncounted) if words]:
        message += f": {'; '.join(missing)}"
    if devices.has_quota(given.job.namespace):
        message += ", or the namespace's ResourceQuota has no room for one (`kubectl describe quota`)"
    return NewCondition(reason=Reason.WAITING, message=f"{message}. The job waits for one.")


def _remember(given: PolicyInput, model: JobModel, work: WorkDecision) -> JobMemory:
    return replace(
        given.memory,
        lag=work.lag,
        generation=given.job.generation,
        lost=frozenset(worker.name for worker in model.workers if worker.state == "lost"),
        queued=frozenset(worker.name for worker in model.workers if worker.state == "queued"),
        promised_us=model.promised_us,
    )
