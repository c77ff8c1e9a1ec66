"""Profile: can the job be planned by what was measured, and what is measured first if nothing was?

    a profile of a class that exists        planned on it, at once
    none, but of another image size         planned at once on what that predicts (dueby_planner/profiles)
    none                                    every class that may be used and has a free device is measured, side by side
    one is done                             planned, once those that are at work are done too; the rest is left out
    an image or variables of its own        measured by a pod of the job, for this job alone
    one is lost with its pod, or was        measured again, a few times; the message says why
    on a node without such a device
    it has workers                          they go on meanwhile, with what they were planned on
    every part is there                     nothing is measured: only its rows are left to be counted
    a class that can't be measured          left out and named; if no class can be, the condition says what to do

Measuring has a time limit, and it runs beside the index step. It takes free devices only. Jobs that wait for the same
share what is measured in the operator's namespace.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dueby_api.conditions import Reason
from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import GPUProfile
from dueby_api.status import MAX_OWN_PROFILES, JobStatus
from dueby_operator.cluster.nodes import CPU_CLASS
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import has_reason
from dueby_operator.model.actions import Action, MeasureClass, StopMeasuring
from dueby_operator.model.conditions import NewCondition
from dueby_operator.profiling import profile_messages
from dueby_operator.profiling.attempts import Attempt, attempts_of, outdated_attempts
from dueby_operator.profiling.on_demand import keep_own, pack_own
from dueby_operator.profiling.on_demand_jobs import shared_name
from dueby_operator.profiling.provenance import describe_old_drivers
from dueby_planner.profiles.class_profiles import plannable
from dueby_planner.profiles.size_prediction import is_bearable

# Of one namespace. No quota counts these pods, and they are as many as a cluster has classes, or more.
MAX_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of a job's profiles before anything is decided."""

    attempts: Sequence[Attempt]
    profiled: frozenset[str]
    """Classes with a profile that the job may use."""
    existing: frozenset[str]
    """Classes that exist and that the job may use."""
    clearing: tuple[Action, ...]
    """What stops measuring for this job alone that it doesn't wait for any more."""

    @property
    def failed(self) -> list[Attempt]:
        """Attempts that came to nothing."""
        return [attempt for attempt in self.attempts if attempt.state == "failed"]


def profile(inputs: PolicyInput) -> Outcome:
    """Return whether the job can be planned; if not, what is done about it."""
    if inputs.is_full:
        return Outcome()
    outcome = _profile(inputs)
    return replace(outcome, ends=outcome.ends and not inputs.has_workers)


def _profile(inputs: PolicyInput) -> Outcome:
    measured = _look(inputs)
    if kept := _keep(inputs, measured):
        message = profile_messages.measuring(inputs.spec.model, ["what was measured is being stored"])
        condition = NewCondition(reason=Reason.PROFILING, message=message)
        return Outcome(conditions=(condition,), status=kept, actions=measured.clearing, ends=True)
    # What has started goes on with what it was planned with, even while none of that exists.
    has_started = bool(inputs.job.workers) or inputs.status.plan is not None
    # Others may have a class measured, too. A job that has a profile doesn't begin to wait for that.
    is_waiting = has_reason(inputs.status, Reason.PROFILING)
    at_work = [a for a in measured.attempts if a.state == "measuring" and (is_waiting or not a.begun_for)]
    usable = measured.profiled if has_started else measured.profiled & measured.existing
    if usable and (has_started or not at_work):
        unneeded = [attempt for attempt in measured.attempts if attempt.state == "waiting" and not attempt.begun_for]
        waiting = tuple(attempt.name for attempt in unneeded)
        stopping = (StopMeasuring(jobs=waiting),) if waiting else ()
        # Its workers go on with what is predicted for them, though another class has been measured since.
        in_use = _own_classes(inputs) - measured.profiled
        predicted = tuple(p for p in _predict(inputs, in_use) if p.spec.device_class in in_use) if in_use else ()
        return _ready(inputs, measured, usable, predicted, actions=(*measured.clearing, *stopping))
    if usable:
        return _wait(inputs, measured, [_how_far(attempt) for attempt in at_work], awaited=at_work)
    is_measured = any(a.state == "measuring" or (a.is_open and not a.begun_for) for a in measured.attempts)
    if (has_started or not is_measured) and (predicted := _predict(inputs, _own_classes(inputs))):
        classes = frozenset(p.spec.device_class for p in predicted)
        return _ready(inputs, measured, classes, predicted, actions=measured.clearing)
    return _measure(inputs, measured)


def _look(inputs: PolicyInput) -> Measured:
    job, model, allowed = inputs.job, inputs.spec.model, inputs.spec.gpus.classes
    classes = {candidate.spec.device_class for candidate in plannable(inputs.profiles, inputs.spec)}
    profiled = frozenset(name for name in classes if not allowed or name in allowed)
    for_everybody = inputs.is_measured_for_everybody
    outdated = outdated_attempts(job, None if for_everybody else model)
    existing = frozenset(inputs.shared.devices.classes_of(inputs.spec))
    shared = inputs.shared.attempts or {}
    waited_for = [_shared_name(inputs, name) for name in _measurable(inputs, existing)]
    everybodys = [shared[name] for name in waited_for if name in shared]
    return Measured(
        attempts=everybodys if for_everybody else attempts_of(job, model, inputs.nodes, now_us=inputs.now_us),
        profiled=profiled,
        existing=existing,
        clearing=(StopMeasuring(jobs=outdated),) if outdated else (),
    )


def _shared_name(inputs: PolicyInput, device_class: str) -> str:
    return shared_name(inputs.spec, device_class, image=inputs.worker_image)


def _keep(inputs: PolicyInput, measured: Measured) -> JobStatus | None:
    """Return the status with what was measured for this job alone; None if that is nothing new."""
    unknown = (one for one in measured.attempts if not one.begun_for and one.device_class not in measured.profiled)
    new = tuple(packed for packed in pack_own(unknown) if packed not in inputs.status.own_profiles)
    if not new:
        return None
    # What is about another model, before an edit, is of no more use.
    still = keep_own(inputs.status.own_profiles, inputs.spec.model)
    return inputs.status.replace(own_profiles=(*still, *new)[-MAX_OWN_PROFILES:])


def _own_classes(inputs: PolicyInput) -> frozenset[str]:
    """Return the classes on which the job has workers, or a plan."""
    plan = inputs.status.plan
    groups = [group.device_class for group in plan.groups] if plan else []
    windows = [window.device_class for window in plan.windows] if plan else []
    return frozenset([*groups, *windows, *(worker.assignment.device_class for worker in inputs.job.workers)])


def _predict(inputs: PolicyInput, in_use: frozenset[str]) -> tuple[GPUProfile, ...]:
    """Return what other image sizes tell of the classes that exist, and of those `in_use` whether or not they do."""
    predicted = plannable(inputs.shared.known.predicted(inputs.spec.model), inputs.spec)
    named = {p.spec.device_class for p in predicted}
    existing = inputs.shared.devices.classes_of(inputs.spec)
    usable = in_use | existing.intersection(inputs.spec.gpus.classes or named)
    confidence = inputs.spec.planned_confidence
    return tuple(p for p in predicted if p.spec.device_class in usable and is_bearable(p.spec, confidence=confidence))


def _measure(inputs: PolicyInput, measured: Measured) -> Outcome:
    """Start measuring every class that has a free device, and say how far the others are."""
    tried = {attempt.device_class for attempt in measured.attempts if attempt.state != "lost"}
    wanted = [name for name in _measurable(inputs, measured.existing) if name not in tried]
    free = inputs.shared.devices.free_for_one(inputs.job.namespace, inputs.spec, classes=wanted)
    now = [name for name in wanted if free[name]]
    at_once = _may_begin(inputs)
    is_allowed = inputs.now_us >= inputs.memory.refused_until_us
    still_open = [attempt for attempt in measured.attempts if attempt.is_open]
    states = [
        *(_how_far(attempt) for attempt in still_open),
        *(f"{name}: {_why_again(measured, name)}its pod is being started" for name in now[:at_once]),
        *(f"{name}: waits for what else is measured for jobs of {inputs.job.namespace}" for name in now[at_once:]),
    ]
    if states:
        return _wait(inputs, measured, states, awaited=still_open, started=now[:at_once] if is_allowed else ())
    if measured.profiled:  # of classes that do not exist now, such as a pool that was scaled to nothing
        return _ready(inputs, measured, measured.profiled, (), actions=measured.clearing)
    return _unprofiled(inputs, measured, busy=wanted)


def _why_again(measured: Measured, device_class: str) -> str:
    """Return why nothing came of measuring the class before, as the beginning of a clause; empty if nothing was."""
    lost = (a.message for a in measured.attempts if a.device_class == device_class and a.state == "lost")
    return next((f"{message}; " for message in lost), "")


def _may_begin(inputs: PolicyInput) -> int:
    """Return how many classes more may be measured for jobs of this namespace at the same time."""
    if not inputs.is_measured_for_everybody:
        return MAX_OWN_PROFILES
    attempts = (inputs.shared.attempts or {}).values()
    return max(
        0, MAX_AT_ONCE - sum(attempt.is_open and attempt.begun_for == inputs.job.namespace for attempt in attempts)
    )


def _measurable(inputs: PolicyInput, existing: Collection[str]) -> list[str]:
    """Return the classes that may be measured: those that the job names, or else all GPUs if its engine is for them."""
    gpus = [name for name in sorted(existing) if not CPU_CLASS.match(name)]
    if inputs.spec.gpus.classes:
        measurable = gpus if inputs.spec.source.decoder == "gpu" else existing
        return [name for name in inputs.spec.gpus.classes if name in measurable]
    return [] if runs_on_cpu(inputs.spec.model.engine) else gpus


def _wait(
    inputs: PolicyInput,
    measured: Measured,
    states: Sequence[str],
    *,
    awaited: Sequence[Attempt],
    started: Sequence[str] = (),
) -> Outcome:
    shared, job, for_everybody = inputs.shared, inputs.job, inputs.is_measured_for_everybody
    if for_everybody:  # its pods give way to workers, so no device is taken from anybody
        begun = [
            Attempt(name=_shared_name(inputs, name), device_class=name, begun_for=job.namespace, state="waiting")
            for name in started
        ]
        shared = shared.awaiting([*awaited, *begun])
    else:
        for name in started:
            shared = shared.without_devices(job.namespace, inputs.spec, device_class=name, count=1)
    lost = {attempt.device_class: attempt for attempt in measured.attempts if attempt.state == "lost"}
    starting = [_start(lost.get(name), name, for_everybody=for_everybody) for name in started]
    message = profile_messages.measuring(inputs.spec.model, states)
    return Outcome(
        conditions=(NewCondition(reason=Reason.PROFILING, message=message),),
        actions=(*measured.clearing, *starting),
        shared=shared,
        ends=True,
    )


def _start(lost: Attempt | None, device_class: str, *, for_everybody: bool) -> MeasureClass:
    if lost is None:
        return MeasureClass(device_class=device_class, for_everybody=for_everybody)
    return MeasureClass(
        device_class=device_class, for_everybody=for_everybody, in_place_of=lost.uid, attempt=lost.number + 1
    )


def _ready(
    inputs: PolicyInput,
    measured: Measured,
    classes: frozenset[str],
    predicted: tuple[GPUProfile, ...],
    *,
    actions: tuple[Action, ...],
) -> Outcome:
    inputs = replace(inputs, predicted=predicted)
    used = [p for p in plannable(inputs.profiles, inputs.spec) if p.spec.device_class in classes]
    left_out = [
        f"{attempt.device_class} is left out, since measuring it failed: {attempt.message}"
        for attempt in measured.failed
    ] + _coming_unprofiled(inputs, measured)
    if used and all(p.spec.predicted for p in used):
        message = " ".join([profile_messages.predicted(inputs.spec.model, used), *left_out])
        condition = NewCondition(reason=Reason.PREDICTED, message=message)
    else:
        condition = NewCondition(reason=Reason.PROFILED, message=". ".join(left_out))
    return Outcome(conditions=(condition,), predicted=predicted, actions=actions)


def _unprofiled(inputs: PolicyInput, measured: Measured, *, busy: Sequence[str]) -> Outcome:
    if measured.failed:
        message = profile_messages.measuring_failed(inputs.spec.model, measured.failed, busy=busy)
        drivers = (describe_old_drivers(inputs.nodes.values(), attempt.device_class) for attempt in measured.failed)
        message = " ".join(filter(None, [message, *drivers]))
        condition = NewCondition(reason=Reason.PROFILING_FAILED, message=message)
    else:
        devices = inputs.shared.devices
        missing = [*(devices.shortage(inputs.spec, name) for name in busy), devices.uncounted]
        missing += _coming_unprofiled(inputs, measured)
        existing = devices.classes_of(inputs.spec)
        missing = [words for words in missing if words]
        message = profile_messages.no_profile(inputs.spec, busy=busy, missing=missing, classes=existing)
        condition = NewCondition(reason=Reason.NO_PROFILE, message=message)
    return Outcome(conditions=(condition,), actions=measured.clearing, ends=True)


def _coming_unprofiled(inputs: PolicyInput, measured: Measured) -> list[str]:
    """Return which devices that are on no node yet can't be planned with, as clauses."""
    coming = inputs.shared.devices.coming_classes(inputs.spec) - measured.profiled - measured.existing
    return [
        f"{name}, of which there is no node yet, is left out until it has a profile of the model"
        for name in _measurable(inputs, coming)
    ]


def _how_far(attempt: Attempt) -> str:
    return f"{attempt.device_class}: {attempt.message}"
