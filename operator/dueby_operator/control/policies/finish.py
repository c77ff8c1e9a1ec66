"""Finish: has the job come to its end?

the deadline passed, and onDeadline is Stop     Failed, Stopped; what was done is kept
parts are missing                               nothing
every part is there                             Finishing: a step counts rows and writes _SUCCESS; it is started, or
                                                started again
the step failed                                 Failed, FinishFailed
the step is done                                Complete, or Failed with TooManyFailedImages; DeadlineMet either way
"""

from dueby_api.conditions import Reason
from dueby_api.status import ProgressStatus
from dueby_api.step_messages import FinishResult
from dueby_api.units import format_progress, format_time, slack_between
from dueby_api.words import counted, faults
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.steps import follow_step
from dueby_operator.model.conditions import NewCondition

COUNTING = "Every part is there; the rows are being counted."
OTHER_ROWS = "the rows are not of this job's images and model; use another sink, or set sink.ifExists: Overwrite"
STOPPED = "The deadline has passed, and spec.onDeadline is Stop. What was done is kept."


def finish(inputs: PolicyInput) -> Outcome:
    """End a job that has nothing left to do, or no time to do it in."""
    scheduled = inputs.scheduled
    if scheduled is None:
        return Outcome()
    if scheduled.is_complete:
        return count_rows(inputs)
    return stop_at_deadline() if scheduled.must_stop else Outcome()


def stop_at_deadline() -> Outcome:
    """Return the end of a job that is to stop at its deadline."""
    return failed(Reason.STOPPED, STOPPED, NewCondition(reason=Reason.STOPPED_AT_DEADLINE, message=STOPPED))


def count_rows(inputs: PolicyInput) -> Outcome:
    """Return how far the step is that counts the rows of a full sink; the job's end, once it is done."""
    step = follow_step(inputs, "finish", FinishResult)
    if step.failure:
        return failed(Reason.FINISH_FAILED, step.failure)
    if step.result is None or step.job is None:
        finishing = NewCondition(reason=Reason.FINISHING, message=step.message or COUNTING)
        return Outcome(conditions=(finishing,), actions=step.actions)
    if inputs.status.fingerprint and step.result.fingerprint not in ("", inputs.status.fingerprint):
        return failed(Reason.FINISH_FAILED, f"{inputs.spec.sink.uri}: {OTHER_ROWS}")
    return close(inputs, step.result, ended_us=step.job.completed_us or inputs.now_us)


def close(inputs: PolicyInput, result: FinishResult, *, ended_us: int) -> Outcome:
    """Return the end of a job whose rows are all there."""
    is_met = ended_us <= inputs.deadline_us
    met = NewCondition(
        reason=Reason.MET if is_met else Reason.MISSED,
        message=f"Ended at {format_time(ended_us)}; the deadline was {format_time(inputs.deadline_us)}.",
    )
    progress = ProgressStatus(
        images=format_progress(result.rows, result.rows, comma=""),
        images_done=result.rows,
        images_failed=result.errors,
        expected_finish=inputs.status.progress.expected_finish if inputs.status.progress else None,
        slack=slack_between(ended_us, inputs.deadline_us),
    )
    faulty = faults(result.errors, result.warnings)
    summary = f"{counted(result.rows, 'row')}{faulty}{',' if faulty else ''} in {inputs.spec.sink.uri}"
    summary += f", of its generation {result.generation}." if result.generation > 1 else "."
    too_many = inputs.spec.why_too_many(images=result.rows, failed=result.errors)
    reason = Reason.TOO_MANY_FAILED_IMAGES if too_many else Reason.EVERY_IMAGE_HAS_A_ROW
    return Outcome(
        conditions=(met, NewCondition(reason=reason, message=f"{too_many} {summary}".lstrip())),
        status=inputs.status.replace(progress=progress, ends=format_time(ended_us)),
        ends=True,
    )
