"""What the condition Profiled says: how far measuring is, what was predicted, what to do if nothing can be. Pure."""

from collections.abc import Collection, Iterable, Sequence

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec, Model
from dueby_api.subject import model_subject
from dueby_api.words import counted
from dueby_operator.cluster.nodes import CPU_CLASS
from dueby_operator.profiling.attempts import Attempt
from dueby_planner.profiles.size_prediction import describe_predictions

# Classes that a message names.
MAX_CLASSES = 8
_BY_HAND = "or measure it by hand with `dueby profile` and apply the profile"


def measuring(model: Model, states: Iterable[str]) -> str:
    """Say how far each class is."""
    return f"{_sentence(model)} is being measured. {'; '.join(states)}."


def predicted(model: Model, used: Sequence[GPUProfile]) -> str:
    """Say which profiles the job is planned on instead."""
    return (
        f"{_sentence(model)} was not measured. It is predicted for {'; '.join(describe_predictions(used))}. "
        "The job's first steps correct it. To measure it, run `dueby profile` on such a node, then `kubectl apply`."
    )


def measuring_failed(model: Model, failed: Sequence[Attempt], *, busy: Sequence[str]) -> str:
    """Say why, and how to try again. `busy` classes wait for a free device."""
    reasons = "; ".join(f"{attempt.device_class}: {attempt.message}" for attempt in failed)
    waiting = f" {', '.join(busy)} will be measured once a device is free." if busy else ""
    return f"Measuring {_sentence(model)} failed. {reasons}.{waiting} {_again(failed)}, {_BY_HAND}."


def _again(failed: Sequence[Attempt]) -> str:
    """Say how what failed is tried again, in the beginning of a sentence."""
    own_jobs = [attempt.name for attempt in failed if not attempt.begun_for]
    if own_jobs:
        return f"To try again, `kubectl delete job {' '.join(own_jobs)}`"
    jobs, namespace = " ".join(attempt.name for attempt in failed), failed[0].namespace
    return f"It is tried again an hour later, or after `kubectl delete job {jobs} -n {namespace}`"


def no_profile(
    spec: JobSpec, *, busy: Sequence[str], missing: Sequence[str] = (), classes: Collection[str] = ()
) -> str:
    """Say why there is nothing to plan with, and what to do.

    `busy` classes wait for a free device: nodes lack what is `missing`. The job could name one of the `classes`.
    """
    subject, why = _sentence(spec.model), "".join(f"; {words}" for words in missing)
    if busy:
        return (
            f"There is no GPUProfile for {subject}, and no device of {', '.join(busy)} is free to measure one: that is "
            f"done once one is{why}. Wait, {_BY_HAND}."
        )
    named = ", ".join(spec.gpus.classes) or "GPUs that this job could use"
    hint = "" if spec.gpus.classes else " (slices of CPUs are measured if spec.gpus.classes names them: cpu-1)"
    there_is_none = f"There is no GPUProfile for {subject}, and no node has {named}{hint}{why}."
    return f"{there_is_none}{_others(spec, classes)} Add such a node, {_BY_HAND}."


def _others(spec: JobSpec, existing: Collection[str]) -> str:
    """Return the classes that the job could name, and which of them it has only spelt otherwise."""
    if not spec.gpus.classes or not existing:
        return ""
    wanted = {name.lower() for name in spec.gpus.classes}
    alike = [name for name in sorted(existing) if name.lower() in wanted]
    meant = f" Did you mean {' and '.join(alike)}?" if alike else ""
    names = sorted(existing, key=lambda name: (CPU_CLASS.match(name) is not None, name))
    more = [counted(len(names) - MAX_CLASSES, "more class", "more classes")] if names[MAX_CLASSES:] else []
    return f" The classes that this job could use are {', '.join([*names[:MAX_CLASSES], *more])}.{meant}"


def _sentence(model: Model) -> str:
    return model_subject(model).sentence
