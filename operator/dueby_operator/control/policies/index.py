"""Index: is the source listed and frozen, so that N is known?

    indexed already                          nothing
    synthetic images of the model's size     indexed at once: there is nothing to list
    no index step yet                        the step is started
    the step failed                          Failed, IndexFailed
    the step is done                         N, fingerprint and input cost are recorded
    the step is at work                      Indexing, with what keeps its pod from starting

A job that isn't indexed goes on to be profiled meanwhile; only its plan waits.
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_api.step_messages import IndexResult
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.conditions import is_true
from dueby_operator.jobs.pod_diagnosis import diagnose_step
from dueby_operator.jobs.pod_state import ending_of
from dueby_operator.model.actions import StartStep
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.step_configs import images_without_index
from dueby_operator.objects.jobs import BatchJob

LISTING = "The source is being listed."


def index(given: PolicyInput) -> Outcome:
    """Return whether the source is indexed, and start what indexes it."""
    if is_true(given.status, ConditionType.INDEXED):
        return Outcome()
    step = given.job.steps.get("index")
    if step is not None:
        return _read_step(given, step)
    if images := images_without_index(given.spec):
        indexed = NewCondition(reason=Reason.INDEXED, message=f"{images:,} synthetic images.")
        return Outcome(conditions=(indexed,), status=given.status.replace(images=images))
    return Outcome(
        conditions=(NewCondition(reason=Reason.INDEXING, message=LISTING),), actions=(StartStep(step="index"),)
    )


def _read_step(given: PolicyInput, step: BatchJob) -> Outcome:
    ending = ending_of(given.job.pods, step.name)
    if step.is_failed or ending.is_final:
        message = ending.sentence or "the index step failed; see the log of its pod"
        return failed(Reason.INDEX_FAILED, message, NewCondition(reason=Reason.SOURCE_UNREADABLE, message=message))
    result = ending.read(IndexResult) if step.is_complete else None
    if result is None:
        message = diagnose_step(given.job.pods, step.name) or LISTING
        return Outcome(conditions=(NewCondition(reason=Reason.INDEXING, message=message),))
    return Outcome(
        conditions=(NewCondition(reason=Reason.INDEXED, message=f"{result.images:,} images."),),
        status=given.status.replace(images=result.images, fingerprint=result.fingerprint, input_cost=result.input_cost),
    )
