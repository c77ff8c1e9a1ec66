"""InferenceJobs as the API server lists them: those that aren't over in each pass, the others once a minute.

3,000 jobs that are over are a list of 6 MB, which would be a quarter of a core if it was read every two seconds. So the
API server is asked for the jobs that are under way, and the others are remembered. All are listed when a minute has
passed, when a job that was under way isn't listed any more, since it has ended or was deleted, and while there is one
that was edited after its end.

API servers select by a phase from Kubernetes 1.31 on. Others refuse to, and all jobs are listed in each pass.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from dueby_operator.control.conditions import is_done_with, is_over
from dueby_operator.kube.client import Kube, Refused, read_each
from dueby_operator.kube.door import Door
from dueby_operator.kube.read_job import is_too_long
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from dueby_planner.schedule.job import JobKey

log = logging.getLogger(__name__)
ReadJob = Callable[[StoredJob], JobSnapshot]
TurnAway = Callable[[StoredJob], JobSnapshot | None]
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
        self._let_in: set[str] = set()
        """The uids of those that were read then."""
        self._left_out: Counter[str] = Counter()
        """Jobs that were left out, as it was logged, by namespace."""
        self._minute_s = float("-inf")
        """When the minute began, by the list of all jobs."""
        self._selects = True
        """Whether the API server selects by a phase, as far as is known in this minute."""

    async def read(self, read_job: ReadJob, turn_away: TurnAway) -> Sequence[JobSnapshot]:
        """Return the jobs as `read_job` makes them, and those for which there is no room as `turn_away` does."""
        is_new_minute = self._clock() >= self._minute_s + ALL_S
        listed = await self._read_under_way(read_job, turn_away) if self._selects and not is_new_minute else None
        if listed is None:
            listed = await self._list(read_job, turn_away)
        if is_new_minute:
            self._minute_s, self._selects = self._clock(), True
        self._seen = listed
        return list(listed.values())

    async def _read_under_way(self, read_job: ReadJob, turn_away: TurnAway) -> Jobs | None:
        """Return the jobs under way with those remembered as over; None if these aren't all."""
        try:
            under_way = await self._list(read_job, turn_away, fieldSelector=UNDER_WAY)
        except Refused as error:
            if error.status != BAD_REQUEST:
                raise
            log.debug("jobs that are over are listed in each pass: %s", error)
            self._selects = False
            return None
        others = {key: job for key, job in self._seen.items() if key not in under_way}
        return {**others, **under_way} if all(is_done_with(job) for job in others.values()) else None

    async def _list(self, read_job: ReadJob, turn_away: TurnAway, **query: str) -> Jobs:
        door = Door(self._let_in, turn_away)
        async for page in self._kube.pages(self._path, **query):
            for stored in read_each(page.items or (), lambda item: parse(StoredJob, item)):
                door.offer(stored, self._read(stored, read_job))
            del page  # before the next one comes
        let_in = [job if isinstance(job, JobSnapshot) else read_job(job) for job in door.let_in()]
        self._let_in = {job.uid for job in let_in}
        self._tell(door.left_out)
        return {job.key: job for job in (*let_in, *door.turned_away())}

    def _read(self, stored: StoredJob, read_job: ReadJob) -> JobSnapshot | None:
        """Return the job if it is over and has not changed since it was read, or if it is too long to be kept."""
        seen = self._seen.get(stored.key)
        if seen is not None and is_over(seen.status) and seen.resource_version == stored.metadata.resource_version:
            return seen
        return read_job(stored) if is_too_long(stored) else None

    def _tell(self, left_out: Counter[str]) -> None:
        """Log the namespaces of which jobs are left out, when their number has doubled."""
        for namespace in self._left_out.keys() - left_out.keys():
            del self._left_out[namespace]
        for namespace, count in left_out.items():
            if count >= 2 * self._left_out[namespace]:
                self._left_out[namespace] = count
                log.warning("%d jobs of namespace %s are left out: it has more than are read", count, namespace)
