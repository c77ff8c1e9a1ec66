"""The pool of one machine, as the machine's own profiles describe it.

Layouts of CPU slices exclude each other: two slices of one core are the same cores as one slice of two. So the pool of
a machine is one layout, the fastest. If the machine has GPUs the pool is these, because their workers need the cores.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ProfileSpec, images_per_second
from dueby_api.inference_job import Model
from dueby_api.subject import profile_subject
from dueby_planner.profiles.class_profiles import matching, without_profile


def machine_pool(profiles: Sequence[GPUProfile], model: Model, *, classes: Collection[str] = ()) -> dict[str, int]:
    """Return the number of devices of each class, or of each of `classes`. Raise Invalid if the profiles do not say."""
    specs = _profiles_of(profiles, model, classes)
    gpus: dict[str, set[str]] = defaultdict(set)
    for spec in specs:
        if not runs_on_cpu(spec.engine) and spec.device.uuid:
            gpus[spec.device_class].add(spec.device.uuid)
    if gpus:
        return {name: len(uuids) for name, uuids in sorted(gpus.items())}
    layouts = [spec for spec in specs if runs_on_cpu(spec.engine) and spec.device.slices]
    if not layouts:
        named = ", ".join(sorted({spec.device_class for spec in specs}))
        raise Invalid(
            "--pool", f"is missing: the profiles of {named} do not say how many devices there are. Give CLASS=COUNT."
        )
    # Between equally fast layouts the class name decides, so that every plan gets the same one.
    best = max(layouts, key=lambda spec: (images_per_second(spec) * (spec.device.slices or 1), spec.device_class))
    return {best.device_class: best.device.slices or 1}


def _profiles_of(profiles: Sequence[GPUProfile], model: Model, classes: Collection[str]) -> list[ProfileSpec]:
    fitting = [profile.spec for profile in matching(profiles, model)]
    if not fitting:
        subjects = ", ".join(sorted({profile_subject(profile.spec).about.sentence for profile in profiles}))
        raise without_profile(
            model, f"there are profiles of {subjects}" if subjects else "there are no profiles at all"
        )
    specs = [spec for spec in fitting if not classes or spec.device_class in classes]
    if not specs:
        measured = ", ".join(sorted({spec.device_class for spec in fitting}))
        raise Invalid(
            "spec.gpus.classes",
            f"No profile for device class {', '.join(classes)}; there are profiles of {measured}. Name one of "
            f"these, or run: {model.profile_command}",
        )
    return specs
