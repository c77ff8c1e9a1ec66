"""Index: is the source listed and frozen, so that N is known?

    indexed already                          nothing
    suspended, and the sink is in use        nothing: the sink policy forgets what it finds
    synthetic images of the model's size     indexed at once: there is nothing to list
    the step failed                          Failed, IndexFailed
    the step is done                         N, fingerprint, input cost, the sink's grid, and how far int8 is from fp32
                                             are recorded
    otherwise                                Indexing, with what the step waits for; it is started, or started again

What the step depends on is part of its Job's name, so that after an edit nothing that was found before it counts.
A job that isn't indexed goes on to be profiled meanwhile; only its plan waits.
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_api.step_messages import IndexResult
from dueby_api.words import counted, unlisted_words
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.conditions import is_true
from dueby_operator.control.steps import follow_step
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.step_configs import images_without_index

LISTING = "The source is being listed."


def index(inputs: PolicyInput) -> Outcome:
    """Return whether the source is indexed, and start what indexes it."""
    if is_true(inputs.status, ConditionType.INDEXED) or inputs.job.key in inputs.shared.sink_holders:
        return Outcome()
    is_begun = "index" in inputs.job.steps or "index" in inputs.job.outdated_steps
    if not is_begun and (images := images_without_index(inputs.spec)):
        indexed = NewCondition(reason=Reason.INDEXED, message=f"{counted(images, 'synthetic image')}.")
        return Outcome(conditions=(indexed,), status=inputs.status.replace(images=images))
    step = follow_step(inputs, "index", IndexResult)
    if step.failure:
        unreadable = NewCondition(reason=Reason.SOURCE_UNREADABLE, message=step.failure)
        return failed(Reason.INDEX_FAILED, step.failure, unreadable)
    if step.result is None:
        listing = NewCondition(reason=Reason.INDEXING, message=step.message or LISTING)
        return Outcome(conditions=(listing,), actions=step.actions)
    return _record(inputs, step.result)


def _record(inputs: PolicyInput, result: IndexResult) -> Outcome:
    sentences = (f"{counted(result.images, 'image')}.", result.note, unlisted_words(result.unlisted))
    message = " ".join(filter(None, sentences))
    if result.agreement:
        message += f" At {inputs.spec.model.precision}, {result.agreement.sentence}."
    return Outcome(
        conditions=(NewCondition(reason=Reason.INDEXED, message=message),),
        status=inputs.status.replace(
            images=result.images,
            fingerprint=result.fingerprint,
            input_cost=result.input_cost,
            agreement=result.agreement,
            part_size=result.part_size,
            parts_there=result.parts_there or None,
        ),
    )
