"""`dueby.submit` and `dueby.wait`: a job in a cluster, by way of its API server, as for `dueby calendar`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dueby.cluster import connect
from dueby.cluster.job_list import API_SERVER, read_job
from dueby.library.inputs import AnyJob, Tell, manifest_of
from dueby.library.pages import framed
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.status import is_asked_again
from dueby_pages.cluster_calendar import shown_cluster
from dueby_pages.cluster_jobs import OVER, NamedStatus, cluster_jobs

# The operator looks at running jobs every two seconds.
_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SubmittedJob(NamedStatus):
    """A job of a cluster and its status when it was last seen; a notebook shows it as the page of `dueby calendar`."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it: its phase is Succeeded or Failed, and no edit has come since."""
        return self.status.phase in OVER and not is_asked_again(self.status, self.generation)

    def _repr_html_(self) -> str | None:
        def page() -> str:
            from dueby_pages.calendar_page import render_calendar

            now_us = time.time_ns() // 1000
            return render_calendar(shown_cluster(cluster_jobs([self]), now_us=now_us, with_namespaces=True))

        return framed(page)


def submit(job: AnyJob, *, namespace: str | None = None) -> SubmittedJob:
    """Create the job in the cluster of the kubeconfig's context, or change the one of its name, and return it.

    In a pod without a kubeconfig it is the cluster that the pod is in.

    `job` is a manifest's path, its content, or an InferenceJob; other objects in the file, such as a claim for the
    rows, are left to `kubectl apply`. Without a `namespace` it is the manifest's, or that of the context or the pod.
    Raise Invalid if something is wrong with the manifest, the extra `cluster` isn't installed or there is no cluster,
    and DueByError with the reason if the cluster can't be reached or doesn't take the job.

        submitted = dueby.submit("job.yaml", namespace="team")
    """
    manifest = manifest_of(job)
    return _parse(connect("submit").apply_job(manifest.document, namespace=namespace))


def wait(
    job: str | NamedStatus,
    *,
    namespace: str | None = None,
    timeout_s: float | None = None,
    tell: Tell | None = None,
) -> SubmittedJob:
    """Wait until a job of a cluster is over, and return it with its last status.

    `job` is its name, or what `submit` returned, which also says its namespace. That it has Failed is no error:
    `status.phase` and `status.message` say so. `tell` is called with a sentence whenever its phase or its message has
    changed. Raise Invalid if there is no such job, DueByError with the reason if it can't be asked for, and Transient
    if the job isn't over after `timeout_s` seconds. Once the job was found, the API server may fail, or be away: it is
    asked again until then.

        dueby.wait(dueby.submit("job.yaml"), tell=print).status.phase
    """
    name = job if isinstance(job, str) else job.name
    within = namespace if isinstance(job, str) else job.namespace or namespace
    ends_s = None if timeout_s is None else time.monotonic() + timeout_s
    api_server = connect("wait")

    def look() -> SubmittedJob:
        text = api_server.get_job(name, namespace=within)
        if text is None:
            raise Invalid("wait", f"there is no job {name} in {f'namespace {within}' if within else 'the namespace'}")
        return _parse(text)

    def pause() -> bool:
        if ends_s is not None and time.monotonic() >= ends_s:
            return False
        time.sleep(_EVERY_S if ends_s is None else min(_EVERY_S, max(0.0, ends_s - time.monotonic())))
        return True

    return follow(look, pause=pause, tell=tell or (lambda _: None))


def follow(look: Callable[[], SubmittedJob], *, pause: Callable[[], bool], tell: Tell) -> SubmittedJob:
    """Look at a job until it is over. Raise Transient once `pause` says that there is no more time."""
    job, told = look(), ""
    while True:
        said = f"{job.name}: {job.status.phase}. {job.status.message or ''}".rstrip()
        if said != told:
            tell(said)
            told = said
        if job.is_over:
            return job
        if not pause():
            raise Transient(f"the job isn't over. {told}")
        try:
            job = look()
        except Invalid:  # it was deleted, or is no job of ours
            raise
        except DueByError as error:
            tell(f"{error}.")


def _parse(text: bytes) -> SubmittedJob:
    return SubmittedJob(**vars(read_job(text, origin=API_SERVER)))
