"""`dueby.run` and `dueby.run_all`: run jobs on this machine, as `dueby run` does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dueby.inputs.manifests import Manifest, together
from dueby.inputs.needs import needing
from dueby.inputs.places import require_places
from dueby.library.inputs import AnyJob, AnyPath, Tell, manifest_of, paths_of
from dueby.library.pages import WithPage, with_page
from dueby.library.progress import Progress
from dueby_api.errors import DueByError
from dueby_api.run_record import Summary

if TYPE_CHECKING:
    from dueby.runs.session import End


class Finished(WithPage, Summary, frozen=True, kw_only=True, dict=True):
    """What a run's summary.json says; a notebook shows it as the page of `dueby report`."""


def run(
    job: AnyJob,
    sink: AnyPath | None = None,
    *,
    profiles: AnyPath | Sequence[AnyPath] = (),
    retry_failed: bool = False,
    tell: Tell | None = None,
    **spec: object,
) -> Finished:
    """Run the job on this machine to its end, and return how it ended.

    `job` is a manifest's path, its content, or an InferenceJob. Where there is none, it is the images' URI, `sink` is
    where the rows go, and every other field of a manifest's spec is an argument. `profiles` are files or folders of
    GPUProfiles, by default this machine's, which is measured first if need be. With `retry_failed` images whose row has
    an error are tried again. `tell` is called with each line that the command shows; a line says how far the job is
    every 10 s. Without it, a notebook shows a bar.

    That the job was late, or that too many images failed, is no error: `verdict` says so. Raise DueByError if it
    can't meet its deadline and was not started, and Invalid if something is wrong with it. After an interruption the
    same call goes on where it stopped.

        dueby.run("photos/", "results/", model="resnet50", deadline="10m").verdict
        dueby.run("job.yaml", tell=print).verdict
    """
    manifest = manifest_of(job, sink, spec)
    require_places(manifest.job.spec)
    (end,) = _run([manifest], profiles, tell, retry_failed=retry_failed)
    return end


def run_all(
    jobs: Sequence[AnyJob], *, profiles: AnyPath | Sequence[AnyPath] = (), tell: Tell | None = None
) -> tuple[Finished, ...]:
    """Run jobs on this machine together, each as its deadline class promises, and return how each ended.

    Everything else is as in `run`. Raise DueByError, once all others are over, if one was refused or has failed.

        dueby.run_all(["a.yaml", "b.yaml"])[0].verdict
    """
    return _run(together([manifest_of(job) for job in jobs]), profiles, tell)


def _run(
    manifests: Sequence[Manifest],
    profiles: AnyPath | Sequence[AnyPath],
    tell: Tell | None,
    *,
    retry_failed: bool = False,
) -> tuple[Finished, ...]:
    with needing("run", "profiler"):
        from dueby.runs.run_manifests import run_manifests
        from dueby.runs.screen import Screen
        from dueby.terminal.console import plain_console

    paths, is_one = paths_of(profiles), len(manifests) == 1
    with Progress(tell) as progress:
        screen = Screen(plain_console(progress.file), is_of_one=is_one, watch=progress.show)
        ends = run_manifests(manifests, screen, paths=paths, retry_failed=retry_failed)
        refusals = [
            end.refusal if is_one else f"{name}: {end.refusal}" for name, end in ends.items() if not end.summary
        ]
        if refusals:
            raise DueByError("\n".join(refusals))
        finished = tuple(_finished(manifest, ends[manifest.name]) for manifest in manifests)
        progress.end(" ".join(f"{end.job}: {end.verdict}, {end.images_done:,} of {end.images:,}." for end in finished))
        return finished


def _finished(manifest: Manifest, end: "End") -> Finished:
    assert end.summary is not None
    # Of a job that had every row before, there is no run to report on.
    page = (lambda: _page(manifest.job.spec.sink.uri, end.run)) if end.run else None
    return with_page(Finished, end.summary, page)


def _page(sink: str, run: str) -> str:
    from dueby.report.gather import gather
    from dueby.report.page import render_page
    from dueby_worker.storage.stores import open_store

    return render_page(gather(open_store(sink), run))
