"""InferenceJobs as the API server lists them: those that aren't over in each pass, the others once a minute.

3,000 jobs that are over are a list of 6 MB, which would be a quarter of a core if it was read every two seconds. So the
API server is asked for the jobs that are under way, and the others are remembered. All are listed when a minute has
passed, and when a job that was under way isn't listed any more: it has ended, or was deleted.

API servers select by a phase from Kubernetes 1.31 on. Others refuse to, and all jobs are listed in each pass.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dueby_operator.control.conditions import is_over
from dueby_operator.kube.client import Kube, Refused
from dueby_operator.kube.steady_clock import steady_clock_s
from dueby_operator.model.job_snapshot import JobKey, JobSnapshot

log = logging.getLogger(__name__)
Document = dict[str, Any]
ReadJobs = Callable[[Iterable[Document]], Sequence[JobSnapshot]]
Jobs = dict[JobKey, JobSnapshot]
# That a job which is over was deleted, or its time to live edited, is seen so much later at most.
ALL_S = 60.0
UNDER_WAY = "status.phase!=Succeeded,status.phase!=Failed"
# HTTP status of an answer about a field that can't be selected by.
BAD_REQUEST = 400


class JobList:
    """The jobs below one path: of a namespace, or of all."""

    def __init__(self, kube: Kube, path: str, *, clock: Callable[[], float] = steady_clock_s) -> None:
        """`clock` counts seconds."""
        self._kube = kube
        self._path = path
        self._clock = clock
        self._seen: Jobs = {}
        """As of the last pass."""
        self._minute_s = float("-inf")
        """When the minute began, by the list of all jobs."""
        self._selects = True
        """Whether the API server selects by a phase, as far as is known in this minute."""

    async def read(self, read_jobs: ReadJobs) -> Sequence[JobSnapshot]:
        """Return all jobs as `read_jobs` makes them of their documents; it may leave some out."""
        is_new_minute = self._clock() >= self._minute_s + ALL_S
        found = await self._read_under_way(read_jobs) if self._selects and not is_new_minute else None
        if found is None:
            found = await self._list(read_jobs)
        if is_new_minute:
            self._minute_s, self._selects = self._clock(), True
        self._seen = found
        return list(found.values())

    async def _read_under_way(self, read_jobs: ReadJobs) -> Jobs | None:
        """Return the jobs under way with those remembered as over; None if these aren't all."""
        try:
            found = await self._list(read_jobs, fieldSelector=UNDER_WAY)
        except Refused as error:
            if error.status != BAD_REQUEST:
                raise
            log.debug("jobs that are over are listed in each pass: %s", error)
            self._selects = False
            return None
        others = {key: job for key, job in self._seen.items() if key not in found}
        return {**others, **found} if all(is_over(job.status) for job in others.values()) else None

    async def _list(self, read_jobs: ReadJobs, **query: str) -> Jobs:
        # Page by page, so that the documents of one page are gone before those of the next come.
        pages = [self._read(page.get("items", ()), read_jobs) async for page in self._kube.pages(self._path, **query)]
        return {job.key: job for page in pages for job in page}

    def _read(self, documents: Iterable[Document], read_jobs: ReadJobs) -> list[JobSnapshot]:
        """Read the documents, but for jobs that are over and have not changed since."""
        kept, others = [], []
        for document in documents:
            seen = self._seen.get(_key(document))
            if seen is not None and is_over(seen.status) and seen.resource_version == _version(document):
                kept.append(seen)
            else:
                others.append(document)
        return [*kept, *read_jobs(others)]


def _key(document: Document) -> JobKey:
    metadata = document.get("metadata") or {}
    return metadata.get("namespace", ""), metadata.get("name", "")


def _version(document: Document) -> str | None:
    return (document.get("metadata") or {}).get("resourceVersion")
