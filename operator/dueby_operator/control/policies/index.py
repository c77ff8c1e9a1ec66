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


def index(given: PolicyInput) -> Outcome:
    """Return whether the source is indexed, and start what indexes it."""
    if is_true(given.status, ConditionType.INDEXED) or given.job.key in given.shared.sink_holders:
        return Outcome()
    is_begun = "index" in given.job.steps or "index" in given.job.outdated_steps
    if not is_begun and (images := images_without_index(given.spec)):
        indexed = NewCondition(reason=Reason.INDEXED, message=f"{counted(images, 'synthetic image')}.")
        return Outcome(conditions=(indexed,), status=given.status.replace(images=images))
    step = follow_step(given, "index", IndexResult)
    if step.failure:
        unreadable = NewCondition(reason=Reason.SOURCE_UNREADABLE, message=step.failure)
        return failed(Reason.INDEX_FAILED, step.failure, unreadable)
    if step.result is None:
        listing = NewCondition(reason=Reason.INDEXING, message=step.message or LISTING)
        return Outcome(conditions=(listing,), actions=step.actions)
    return _record(given, step.result)


def _record(given: PolicyInput, found: IndexResult) -> Outcome:
    sentences = (f"{counted(found.images, 'image')}.", found.note, unlisted_words(found.unlisted))
    message = " ".join(filter(None, sentences))
    if found.agreement:
        message += f" At {given.spec.model.precision}, {found.agreement.sentence}."
    return Outcome(
        conditions=(NewCondition(reason=Reason.INDEXED, message=message),),
        status=given.status.replace(
            images=found.images,
            fingerprint=found.fingerprint,
            input_cost=found.input_cost,
            agreement=found.agreement,
            part_size=found.part_size,
            parts_there=found.parts_there or None,
        ),
    )
