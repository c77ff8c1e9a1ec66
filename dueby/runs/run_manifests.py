"""Run jobs on this machine, with processes where a cluster has pods.

Jobs that can be refused without any work are refused first. Then the machine is measured if it has no profile of a
model, the sources are indexed, and the control loop runs until every part is in its sink. Whatever ends it (Ctrl-C,
kill -9, a power cut), the same command continues where it stopped.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.text import Text

from dueby.inputs.files import profile_home
from dueby.inputs.manifests import Manifest, naming
from dueby.inputs.places import sink_uri
from dueby.local import steps
from dueby.local.other_runs import announced
from dueby.local.this_machine import NO_DEVICES, runs_folder
from dueby.runs.found_devices import find_devices
from dueby.runs.run_all import RunAll
from dueby.runs.screen import Screen
from dueby.runs.session import End, Session
from dueby.runs.summary import print_complete, tell_failures
from dueby.terminal.console import Teller
from dueby_api.inference_job import InferenceJob
from dueby_planner.model.cost import Tariff, cost_limit_of
from dueby_planner.model.max_cost import require_prices
from dueby_worker.storage.stores import open_store
from dueby_worker.system.temporary_files import scratch_folder


def run_manifests(
    manifests: Sequence[Manifest],
    screen: Screen,
    *,
    paths: Sequence[str],
    retry_failed: bool,
    tariff: Tariff | None = None,
) -> Mapping[str, End]:
    """Run the jobs on this machine and return how each ended, by its name. Raise what a single job fails of.

    `paths` are files and folders of profiles, by default this machine's; the tariff is what devices cost.
    """
    by_name = {manifest.name: manifest for manifest in manifests}
    for manifest in manifests:
        with naming(manifest.job, is_one=screen.is_of_one):
            spec = manifest.job.spec
            require_prices(cost_limit_of(spec), spec.objective, tariff)
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
        pool = replace(find_devices(jobs, paths, screen.console) if unfinished else NO_DEVICES, tariff=tariff)
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
