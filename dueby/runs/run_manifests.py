"""Run jobs on this machine, with processes where a cluster has pods.

Jobs that can be refused without any work are refused first. Then the machine is measured if it has no profile of a
model, the sources are indexed, and the control loop runs until every part is in its sink. Whatever ends it (Ctrl-C,
kill -9, a power cut), the same command continues where it stopped.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dueby.inputs.files import PROFILES_VARIABLE, profile_home, read_profiles
from dueby.inputs.manifests import Manifest, naming
from dueby.inputs.places import sink_uri
from dueby.local import steps
from dueby.local.other_runs import announced
from dueby.local.this_machine import NO_DEVICES, LocalPool, find_pool, runs_folder, shared_pool
from dueby.planning import require_plannable
from dueby.runs.measuring import measure
from dueby.runs.run_all import RunAll
from dueby.runs.screen import Screen
from dueby.runs.session import End, Session
from dueby.runs.summary import print_complete, tell_failures
from dueby.terminal.console import Teller
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.objectives import require_run
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import predictions
from dueby_worker.storage.stores import open_store
from dueby_worker.system.temporary_files import scratch_folder


def run_manifests(
    manifests: Sequence[Manifest], screen: Screen, *, paths: Sequence[str], retry_failed: bool
) -> Mapping[str, End]:
    """Run the jobs on this machine and return how each ended, by its name. Raise what a single job fails of.

    `paths` are files and folders of profiles, by default this machine's.
    """
    by_name = {manifest.name: manifest for manifest in manifests}
    for manifest in manifests:
        with naming(manifest.job, is_one=screen.is_of_one):
            require_run(manifest.job.spec.objective)
    with ExitStack() as stack:
        folders = {name: stack.enter_context(scratch_folder("run")) for name in by_name}
        images_left = {name: steps.images_left(manifest.job) for name, manifest in by_name.items()}
        complete = {
            name: partial(_close_complete, manifest.job, folders[name], screen.teller(name))
            for name, manifest in by_name.items()
            if not retry_failed and images_left[name] == 0
        }
        unfinished = {name: manifest for name, manifest in by_name.items() if name not in complete}
        jobs = [manifest.job for manifest in unfinished.values()]
        pool = find_devices(jobs, paths, screen.console) if unfinished else NO_DEVICES
        sessions = []
        for name, manifest in unfinished.items():
            with naming(manifest.job, is_one=screen.is_of_one):
                session = Session(
                    manifest.job,
                    pool,
                    file=manifest.file,
                    folder=folders[name],
                    teller=screen.teller(name),
                    profiles=paths or [str(profile_home())],
                    images_left=images_left[name],
                )
            sessions.append(session)
        slots = [slot.name for slot in pool.slots]
        sinks = [sink_uri(job.spec) for job in jobs]
        others = announced(runs_folder(), node=pool.node, jobs=tuple(unfinished), slots=slots, sinks=sinks)
        for other in stack.enter_context(others):
            screen.console.print(Text(f"Warning: {other.sentence}.", style="yellow"))
        return RunAll(sessions, complete, pool, screen, retry_failed=retry_failed).run()


def _close_complete(job: InferenceJob, folder: Path, teller: Teller) -> End:
    """Finish a sink that holds every part already, which needs no device, no plan and no time.

    Raise Invalid if the rows are of other images or another model.
    """
    steps.index(job, folder, teller.say_of_step)
    closed = steps.finish(job, folder, teller.say_of_step)
    summary = print_complete(job, closed, teller.console, prefix=teller.prefix)
    tell_failures(job.spec, images=closed.rows, failed=closed.errors, sink=open_store(job.spec.sink.uri), teller=teller)
    return End(summary=summary)


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
