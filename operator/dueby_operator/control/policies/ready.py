"""Ready: may the job's workers be decided on?

it is not indexed yet                         the chain ends: it was profiled meanwhile
every part is there                           nothing: its rows are counted
a worker says that the job is wrong           Failed, InvalidJob: what one worker refuses, all would
the API server has forbidden it lately        nothing until it is tried again
otherwise                                     nothing; its workers are decided on together with those of all other jobs
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.conditions import is_true
from dueby_operator.jobs.pod_state import ending_of, pods_by_job
from dueby_operator.model.job_snapshot import JobSnapshot


def ready(inputs: PolicyInput) -> Outcome:
    """Hold a job that isn't ready for workers, and end one that they refuse."""
    if not is_true(inputs.status, ConditionType.INDEXED):
        return Outcome(ends=True)
    if inputs.is_full:
        return Outcome()
    if fault := _fault_of(inputs.job):
        return failed(Reason.INVALID_JOB, fault)
    return Outcome(ends=inputs.now_us < inputs.memory.refused_until_us)


def _fault_of(job: JobSnapshot) -> str:
    """Return what a worker says is wrong with the job; empty if none does."""
    by_job = pods_by_job(job.pods)
    endings = (ending_of(by_job.get(worker_job.name, ()), worker_job.name) for worker_job in job.worker_jobs)
    return next((ending.sentence or "a worker refused the job" for ending in endings if ending.is_final), "")
