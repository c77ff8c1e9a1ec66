"""This machine's devices for some jobs: by the profiles that are named, or by its own, which is measured if need be."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dueby.inputs.files import PROFILES_VARIABLE, profile_home, read_profiles
from dueby.inputs.manifests import naming
from dueby.local.this_machine import LocalPool, find_pool, shared_pool
from dueby.planning import require_plannable
from dueby.runs.measuring import measure
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import predictions


def find_devices(jobs: Sequence[InferenceJob], paths: Sequence[str], console: Console) -> LocalPool:
    """Return this machine's devices for the jobs; raise Invalid for whatever `dueby plan` refuses of them."""
    profiles = _profiles(jobs, paths, console)
    pools = {}
    for job in jobs:
        with naming(job, is_one=len(jobs) == 1):
            pool = find_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)
            require_plannable(job.spec, pool.profiles, pool.counts)
        pools[job.metadata.name] = pool
    return shared_pool(pools)


def _profiles(jobs: Sequence[InferenceJob], paths: Sequence[str], console: Console) -> list[GPUProfile]:
    """Return the profiles at the paths and predictions from them; by default this machine's, measured if needed."""
    models = [job.spec.model for job in jobs]
    sources = [job.spec.source for job in jobs]
    if paths:
        named = _measured(read_profiles(paths), console)
        predicted = {profile.name: profile for model in models for profile in predictions(named, model)}
        return [*named, *predicted.values()]
    home = profile_home()
    measured = _measured(read_profiles([str(home)]), console) if home.is_dir() else []
    for model, source in zip(models, sources, strict=True):
        if not matching(measured, model):
            console.print(Text(f"No profile of {model.name} in {home}: measuring this machine first."))
            # At int8 the index step does it, with the very network that the workers run.
            photos = None if model.precision == "int8" else source
            measure(model, home, quick=True, source=photos, console=console, field=PROFILES_VARIABLE)
            measured = _measured(read_profiles([str(home)]))
    return measured


def _measured(profiles: Sequence[GPUProfile], console: Console | None = None) -> list[GPUProfile]:
    """Return the profiles without those that are assumed: nothing is run by them. Say on the console which they are."""
    assumed = [profile.name for profile in profiles if profile.spec.assumed]
    if assumed and console:
        console.print(Text(f"Left out, because they are assumed and not measured: {', '.join(assumed)}."))
    return [profile for profile in profiles if not profile.spec.assumed]
