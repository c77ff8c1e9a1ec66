"""`dueby.run`: run a job on this machine, as `dueby run` does."""

from collections.abc import Sequence

from dueby.inputs.needs import needing
from dueby.inputs.places import require_places
from dueby.library.inputs import AnyJob, AnyPath, Tell, Told, manifest_of, paths_of
from dueby.library.pages import WithPage, with_page
from dueby_api.errors import DueByError
from dueby_api.run_record import Summary


class Finished(WithPage, Summary, frozen=True, kw_only=True, dict=True):
    """What a run's summary.json says; a notebook shows it as the page of `dueby report`."""


def run(
    job: AnyJob,
    *,
    profiles: AnyPath | Sequence[AnyPath] = (),
    retry_failed: bool = False,
    tell: Tell | None = None,
) -> Finished:
    """Run the job on this machine to its end, and return how it ended.

    `job` is a manifest's path, its content, or an InferenceJob. `profiles` are files or folders of GPUProfiles, by
    default this machine's, which is measured first if need be. With `retry_failed` images whose row has an error are
    tried again. `tell` is called with each line that the command shows; a line says how far the job is every 10 s.

    That the job was late, or that too many images failed, is no error: `verdict` says so. Raise DueByError if it
    can't meet its deadline and was not started, and Invalid if something is wrong with it. After an interruption the
    same call goes on where it stopped.

        dueby.run("job.yaml", tell=print).verdict
    """
    manifest = manifest_of(job)
    require_places(manifest.job.spec)
    with needing("run", "profiler"):
        from dueby.cli.console import plain_console
        from dueby.cli.run_manifests import run_manifests
        from dueby.cli.screen import Screen

    screen = Screen(plain_console(Told(tell)))
    (end,) = run_manifests([manifest], screen, paths=paths_of(profiles), retry_failed=retry_failed).values()
    if end.summary is None:
        raise DueByError(end.refusal)
    # Of a job that had every row before, there is no run to report on.
    page = (lambda: _page(manifest.job.spec.sink.uri, end.run)) if end.run else None
    return with_page(Finished, end.summary, page)


def _page(sink: str, run: str) -> str:
    from dueby.cli.report import gather
    from dueby.report.page import render_page
    from dueby_worker.storage.stores import open_store

    return render_page(gather(open_store(sink), run))
