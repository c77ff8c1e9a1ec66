"""Profile: can the job be planned by what was measured, and what is measured first if nothing was?

    a profile of a class that exists        planned on it, at once
    none, but of another image size         planned at once on what that predicts (dueby_planner/profiles)
    none                                    every class that may be used and has a free device is measured, side by side
    one is done                             planned, once those that are at work are done too; the rest is left out
    a class that can't be measured          left out and named; if no class can be, the condition says what to do

Measuring has a time limit, and it runs beside the index step. It takes free devices only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dueby_api.conditions import ConditionType, Reason
from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import GPUProfile
from dueby_api.subject import model_subject, profile_subject
from dueby_operator.cluster.nodes import CPU_CLASS
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import is_true
from dueby_operator.control.shared import Shared
from dueby_operator.model.actions import Action, MeasureClass, StopMeasuring
from dueby_operator.model.conditions import NewCondition
from dueby_operator.profiling import profile_messages
from dueby_operator.profiling.attempts import Attempt, attempts_of, measured_elsewhere, outdated_attempts
from dueby_operator.profiling.class_profiles import profiles_of
from dueby_operator.profiling.managed import is_managed, managed_profile, profile_name
from dueby_operator.profiling.provenance import with_provenance
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import is_bearable, predictions


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of a job's profiles before anything is decided."""

    attempts: Sequence[Attempt]
    known: frozenset[str]
    """Classes with a profile that the job may use."""
    there: frozenset[str]
    """Classes that exist and that the job may use."""
    clearing: tuple[Action, ...]
    """What stops measuring that nobody waits for any more."""

    @property
    def failed(self) -> list[Attempt]:
        """Attempts that came to nothing."""
        return [attempt for attempt in self.attempts if attempt.state == "failed"]


def profile(given: PolicyInput) -> Outcome:
    """Return whether the job can be planned; if not, what is done about it."""
    measured = _look(given)
    if stored := _store(given, measured):
        message = profile_messages.measuring(given.spec.model, ["what was measured is being stored"])
        condition = NewCondition(reason=Reason.PROFILING, message=message)
        return Outcome(conditions=(condition,), shared=stored, actions=measured.clearing, ends=True)
    # What has started goes on with what it was planned with, even while none of that exists.
    has_started = bool(given.job.workers) or given.status.plan is not None
    at_work = [attempt for attempt in measured.attempts if attempt.state == "measuring"]
    usable = measured.known if has_started else measured.known & measured.there
    if usable and (has_started or not at_work):
        waiting = tuple(attempt.name for attempt in measured.attempts if attempt.state == "waiting")
        stopping = (StopMeasuring(jobs=waiting),) if waiting else ()
        return _ready(given, measured, usable, given.shared, actions=(*measured.clearing, *stopping))
    if usable:
        return _wait(given, measured, [_how_far(attempt) for attempt in at_work])
    if not any(attempt.is_open for attempt in measured.attempts):
        predicted, shared = _predict(given)
        if predicted:
            return _ready(given, measured, predicted, shared, actions=measured.clearing)
    return _measure(given, measured)


def _look(given: PolicyInput) -> Measured:
    job, model, allowed = given.job, given.spec.model, given.spec.gpus.classes
    classes = {found.spec.device_class for found in matching(given.shared.profiles, model)}
    known = frozenset(name for name in classes if not allowed or name in allowed)
    outdated = outdated_attempts(job, model)
    there = given.shared.devices.classes_of(job.namespace, given.spec, named=known.union(allowed))
    return Measured(
        attempts=[_unless_taken(given, attempt) for attempt in attempts_of(job, model)],
        known=known,
        there=frozenset(there),
        clearing=(StopMeasuring(jobs=outdated),) if outdated else (),
    )


def _store(given: PolicyInput, measured: Measured) -> Shared | None:
    """Return the profiles with what attempts have measured of classes that had none; None if that is nothing new."""
    # A job that was profiled already knows its classes: a Job that measured one of them is read once.
    known = measured.known if is_true(given.status, ConditionType.PROFILED) else frozenset()
    existing = {found.name for found in given.shared.profiles}
    made = [
        found
        for attempt in measured.attempts
        if attempt.device_class not in known
        for found in _profiles_of(given, attempt)
    ]
    if not any(found.name not in existing for found in made):
        return None
    shared = given.shared
    for found in made:
        shared = shared.with_profile(found)
    return shared


def _profiles_of(given: PolicyInput, attempt: Attempt) -> list[GPUProfile]:
    """Return the profiles that the attempt makes; none before it is done."""
    if attempt.found is None:
        return []
    # An image of the job's own is not named in the profile: nobody would measure with it again.
    image_name = "" if given.spec.worker.image else given.worker_image
    node = given.nodes.get(attempt.node)
    spec = with_provenance(attempt.found, node=node, image_name=image_name)
    return profiles_of(spec, node=node, profiles=given.shared.profiles)


def _unless_taken(given: PolicyInput, attempt: Attempt) -> Attempt:
    """Return the attempt; a failed one if somebody else's profile has the name of one that it makes."""
    theirs = {found.name for found in given.shared.profiles if not is_managed(found)}
    taken = ", ".join(sorted(theirs & {found.name for found in _profiles_of(given, attempt)}))
    if not taken:
        return attempt
    message = f"the GPUProfile {taken} was made by somebody else and has the name under which it would be kept"
    return replace(attempt, state="failed", found=None, message=message)


def _predict(given: PolicyInput) -> tuple[frozenset[str], Shared]:
    """Return the classes for which another image size tells what to expect, with their profiles kept from now on."""
    known = [found for found in given.shared.profiles if not found.spec.device.node]
    # They are kept for everybody, so they are made of what everybody believes.
    specs = [found.spec for found in predictions(known, given.spec.model, namespace="")]
    named = {spec.device_class for spec in specs}
    there = given.shared.devices.classes_of(given.job.namespace, given.spec, named=named)
    usable = there.intersection(given.spec.gpus.classes or named)
    confidence = given.spec.planned_confidence
    made = [spec for spec in specs if spec.device_class in usable and is_bearable(spec, confidence=confidence)]
    shared = given.shared
    for spec in made:
        shared = shared.with_profile(managed_profile(profile_name(profile_subject(spec), "predicted"), spec))
    return frozenset(spec.device_class for spec in made), shared


def _measure(given: PolicyInput, measured: Measured) -> Outcome:
    """Start measuring every class that has a free device, and say how far the others are."""
    subject = model_subject(given.spec.model)
    elsewhere, measurable = measured_elsewhere(given.shared.measuring, given.job, subject), _measurable(given, measured)
    tried = {attempt.device_class for attempt in measured.attempts}
    wanted = [name for name in measurable if name not in tried and name not in elsewhere]
    free = given.shared.devices.free_for_one(given.job.namespace, given.spec, classes=wanted)
    is_allowed = given.now_us >= given.memory.refused_until_us
    started = [name for name in wanted if free[name] and is_allowed]
    states = [
        *(_how_far(attempt) for attempt in measured.attempts if attempt.is_open),
        *(f"{name}: its pod is being started" for name in wanted if free[name]),
        *(f"{name}: is being measured for the job {elsewhere[name]}" for name in measurable if name in elsewhere),
    ]
    if states:
        return _wait(given, measured, states, started=started)
    if measured.known:  # of classes that do not exist now, such as a pool that was scaled to nothing
        return _ready(given, measured, measured.known, given.shared, actions=measured.clearing)
    return _unprofiled(given, measured, busy=wanted)


def _measurable(given: PolicyInput, measured: Measured) -> list[str]:
    """Return the classes that may be measured: those that the job names, or else all GPUs if its engine is for them."""
    if given.spec.gpus.classes:
        return [name for name in given.spec.gpus.classes if name in measured.there]
    if runs_on_cpu(given.spec.model.engine):
        return []
    return sorted(name for name in measured.there if not CPU_CLASS.match(name))


def _wait(given: PolicyInput, measured: Measured, states: Sequence[str], *, started: Sequence[str] = ()) -> Outcome:
    shared, job = given.shared, given.job
    for name in started:
        shared = shared.without_devices(job.namespace, given.spec, device_class=name, count=1).with_measurement(
            name, model_subject(given.spec.model), "/".join(job.key)
        )
    message = profile_messages.measuring(given.spec.model, states)
    return Outcome(
        conditions=(NewCondition(reason=Reason.PROFILING, message=message),),
        actions=(*measured.clearing, *(MeasureClass(device_class=name) for name in started)),
        shared=shared,
        ends=True,
    )


def _ready(
    given: PolicyInput, measured: Measured, classes: frozenset[str], shared: Shared, *, actions: tuple[Action, ...]
) -> Outcome:
    used = [p for p in matching(shared.profiles, given.spec.model) if p.spec.device_class in classes]
    left_out = [
        f"{attempt.device_class} is left out, since measuring it failed: {attempt.message}"
        for attempt in measured.failed
    ]
    if used and all(found.spec.predicted for found in used):
        message = " ".join([profile_messages.predicted(given.spec.model, used), *left_out])
        condition = NewCondition(reason=Reason.PREDICTED, message=message)
    else:
        condition = NewCondition(reason=Reason.PROFILED, message=". ".join(left_out))
    return Outcome(conditions=(condition,), shared=shared, actions=actions)


def _unprofiled(given: PolicyInput, measured: Measured, *, busy: Sequence[str]) -> Outcome:
    if measured.failed:
        message = profile_messages.measuring_failed(given.spec.model, measured.failed, busy=busy)
        condition = NewCondition(reason=Reason.PROFILING_FAILED, message=message)
    else:
        message = profile_messages.no_profile(given.spec, busy=busy)
        condition = NewCondition(reason=Reason.NO_PROFILE, message=message)
    return Outcome(conditions=(condition,), actions=measured.clearing, ends=True)


def _how_far(attempt: Attempt) -> str:
    return f"{attempt.device_class}: {attempt.message}"
