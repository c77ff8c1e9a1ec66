"""A step that there is once for a job: how far it is, and what is done where nothing comes of it. Pure.

a Job of before an edit                 is stopped; the step waits until its pods are gone
no Job                                  the step is started
the Job failed, or refused its input    the step has failed
its pod's last words can be read        the step is done
they are lost, or its ConfigMap is      it is started again in its place, MAX_ATTEMPTS times in all; then it has failed
otherwise                               it is at work, or the message says what keeps its pod from starting, which store
                                        it waits for, or why the pod before it gave up
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from dueby_api.schema import LenientSpec
from dueby_api.words import times
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.work.stores import step_waits_sentence
from dueby_operator.jobs.pod_diagnosis import diagnose_step
from dueby_operator.jobs.pod_state import Ending, ending_of, job_of
from dueby_operator.jobs.repeats import MAX_ATTEMPTS, attempt_of, is_given_up, is_leaving, is_long_complete
from dueby_operator.model.actions import MAX_STOPPED, Action, StartStep, StepName, StopJobs
from dueby_operator.objects.jobs import BatchJob

Result = TypeVar("Result", bound=LenientSpec)


@dataclass(frozen=True, kw_only=True)
class StepProgress(Generic[Result]):
    """How far a step is."""

    message: str = ""
    """What it waits for; empty where it is at work."""
    actions: tuple[Action, ...] = ()
    failure: str = ""
    """Why it has failed; empty if it hasn't."""
    result: Result | None = None
    """What it has found, once it is done."""
    job: BatchJob | None = None
    """Its Job, if there is one."""


def follow_step(inputs: PolicyInput, step: StepName, kind: type[Result]) -> StepProgress[Result]:
    """Return how far the step is. Its last words are of this kind."""
    outdated = inputs.job.outdated_steps.get(step, ())
    going = tuple(batch_job.name for batch_job in outdated if not batch_job.metadata.is_deleting)
    if going or any(is_leaving(batch_job, now_us=inputs.now_us) for batch_job in outdated):
        message = f"The job was edited: the {step} step is being stopped, and then it is started again."
        return StepProgress(message=message, actions=(StopJobs(jobs=going[:MAX_STOPPED]),) if going else ())
    job = inputs.job.steps.get(step)
    if job is None:
        is_allowed = inputs.now_us >= inputs.memory.refused_until_us
        return StepProgress(actions=(StartStep(step=step),) if is_allowed else ())
    if job.metadata.is_deleting:
        return StepProgress(message=f"Job {job.name} is being deleted; then the {step} step is started again.", job=job)
    return _read(inputs, step, job, kind)


def _read(inputs: PolicyInput, step: StepName, job: BatchJob, kind: type[Result]) -> StepProgress[Result]:
    ending = ending_of(inputs.job.pods, job.name)
    if job.is_failed or ending.is_final:
        return StepProgress(failure=ending.sentence or f"the {step} step failed; see the log of its pod", job=job)
    result = ending.read(kind) if job.is_complete else None
    if result is not None:
        return StepProgress(result=result, job=job)
    if lost := _lost(inputs, job, ending):
        return _again(step, job, lost)
    waits = [
        wait for pod in inputs.job.pods if job_of(pod) == job.name and (wait := inputs.job.step_waits.get(pod.name))
    ]
    message = (
        diagnose_step(job, inputs.job.pods, now_us=inputs.now_us)
        or step_waits_sentence(step, waits, inputs.spec)
        or _last_failure(step, ending)
    )
    attempt = attempt_of(job)
    if attempt > 1:
        message = f"The {step} step is done again, attempt {attempt} of {MAX_ATTEMPTS}. {message}".strip()
    return StepProgress(message=message, job=job)


def _last_failure(step: StepName, ending: Ending) -> str:
    """Return why the pod before the one at work gave up, such as a store that is full or away; empty if none has."""
    if not ending.exit_code:
        return ""
    return f"The {step} step is tried again. Its last try ended with: {ending.sentence or 'no word'}"


def _lost(inputs: PolicyInput, job: BatchJob, ending: Ending) -> str:
    """Return why nothing will come of the Job; empty if something may."""
    if job in inputs.job.without_config:
        return f"the ConfigMap {job.name} is gone, without which its pod doesn't start"
    if not is_long_complete(job, now_us=inputs.now_us):
        return ""
    what = "left no result that can be read" if ending.message else "was gone before its result was read"
    return f"its pod {what}"


def _again(step: StepName, job: BatchJob, lost: str) -> StepProgress[Result]:
    attempt = attempt_of(job)
    if is_given_up(job):
        message = f"the {step} step was started {times(attempt)}, and nothing came of it: at last {lost}"
        return StepProgress(failure=message, job=job)
    message = f"The {step} step is started again ({attempt + 1} of {MAX_ATTEMPTS}), since {lost}."
    return StepProgress(message=message, actions=(StartStep(step=step),), job=job)
