"""The pool of one machine, as its own profiles tell it.

CPU slices exclude each other: two slices of one core are the same cores as one slice of two. So a machine's pool is
one layout of them, the fastest. Where it has GPUs those are the pool, since their workers need the cores.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, images_per_second
from dueby_api.inference_job import Model
from dueby_planner.profiles.pool import matching


def machine_pool(profiles: Sequence[GPUProfile], model: Model, *, classes: Collection[str] = ()) -> dict[str, int]:
    """Devices of each class, or of those of `classes`; Invalid where the profiles don't tell how many there are."""
    fitting = [p.spec for p in matching(profiles, model)]
    if not fitting:
        raise Invalid(
            "profiles", f"there is none of {model.name} at {model.image_size} px, {model.precision}: see dueby profile"
        )
    found = [spec for spec in fitting if not classes or spec.device_class in classes]
    if not found:
        measured = ", ".join(sorted({spec.device_class for spec in fitting}))
        raise Invalid("spec.gpus.classes", f"none of {', '.join(classes)} was profiled here; {measured} was")
    gpus: dict[str, set[str]] = defaultdict(set)
    for spec in found:
        if not runs_on_cpu(spec.engine) and spec.device.uuid:
            gpus[spec.device_class].add(spec.device.uuid)
    if gpus:
        return {name: len(uuids) for name, uuids in sorted(gpus.items())}
    layouts = [spec for spec in found if runs_on_cpu(spec.engine) and spec.device.slices]
    if not layouts:
        named = ", ".join(sorted({spec.device_class for spec in found}))
        raise Invalid(
            "--pool", f"is missing: the profiles of {named} don't say how many devices there are; give CLASS=COUNT"
        )
    best = max(layouts, key=lambda spec: (images_per_second(spec) * (spec.device.slices or 1), spec.device_class))
    return {best.device_class: best.device.slices or 1}
