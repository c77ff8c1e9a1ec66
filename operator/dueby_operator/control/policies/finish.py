"""Finish: has the job come to its end?

the deadline passed, and onDeadline is Stop     Failed, Stopped; what was done is kept
parts are missing                               nothing
every part is there, no finish step yet         the step is started: it counts rows and writes _SUCCESS
the step failed                                 Failed, FinishFailed
the step is done                                Complete, or Failed with TooManyFailedImages; DeadlineMet either way
"""

from dueby_api.conditions import Reason
from dueby_api.status import ProgressStatus
from dueby_api.step_messages import FinishResult
from dueby_api.units import format_count, format_duration, format_time
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.jobs.pod_state import ending_of
from dueby_operator.model.actions import StartStep
from dueby_operator.model.conditions import NewCondition
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of

STOPPED = "The deadline has passed, and spec.onDeadline is Stop. What was done is kept."


def finish(given: PolicyInput) -> Outcome:
    """End a job that has nothing left to do, or no time to do it in."""
    model = given.model
    if model is None:
        return Outcome()
    if model.is_complete:
        step = given.job.steps.get("finish")
        return Outcome(actions=(StartStep(step="finish"),)) if step is None else _read_step(given, step)
    if model.must_stop:
        return failed(Reason.STOPPED, STOPPED, NewCondition(reason=Reason.STOPPED_AT_DEADLINE, message=STOPPED))
    return Outcome()


def _read_step(given: PolicyInput, step: BatchJob) -> Outcome:
    ending = ending_of(given.job.pods, step.name)
    if step.is_failed or ending.is_final:
        return failed(Reason.FINISH_FAILED, ending.sentence or "the finish step failed; see the log of its pod")
    result = ending.read(FinishResult) if step.is_complete else None
    if result is None:
        return Outcome()
    return close(given, result, ended_us=micros_of(step.status.completion_time) or given.now_us)


def close(given: PolicyInput, result: FinishResult, *, ended_us: int) -> Outcome:
    """Return the end of a job whose rows are all there."""
    is_met = ended_us <= given.deadline_us
    met = NewCondition(
        reason=Reason.MET if is_met else Reason.MISSED,
        message=f"Ended at {format_time(ended_us)}; the deadline was {format_time(given.deadline_us)}.",
    )
    rows = format_count(result.rows)
    progress = ProgressStatus(
        images=f"{rows}/{rows}",
        images_done=result.rows,
        images_failed=result.errors,
        expected_finish=given.status.progress.expected_finish if given.status.progress else None,
        slack=format_duration(given.deadline_us - ended_us),
    )
    summary = f"{result.rows:,} rows, {result.errors:,} of them with an error, in {given.spec.sink.uri}."
    has_too_many = result.errors > given.spec.allowed_failures(result.rows)
    reason = Reason.TOO_MANY_FAILED_IMAGES if has_too_many else Reason.EVERY_IMAGE_HAS_A_ROW
    return Outcome(
        conditions=(met, NewCondition(reason=reason, message=summary)),
        status=given.status.replace(progress=progress),
        ends=True,
    )
