"""Posts jobs' Events, and merges those of one reason: the first is posted at once, the others once a minute as one.

A worker that comes and goes would otherwise be an Event in each pass, and the API server keeps each for an hour.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dueby_api.errors import DueByError
from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.control.events import NewEvent
from dueby_operator.jobs import names
from dueby_operator.kube.client import Kube, Missing
from dueby_operator.model.job_snapshot import JobSnapshot

# Events of one reason about one job are posted no more often.
MERGED_US = 60_000_000
# Kubernetes keeps no longer message of an Event.
MAX_EVENT = 1024
COMPONENT = "dueby-operator"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MergedEvent:
    """An Event that stands for all of its reason since some time."""

    event: NewEvent
    """The last of them."""
    job: JobSnapshot
    first_us: int
    last_us: int
    count: int


@dataclass(kw_only=True)
class Repeats:
    """What is known of the Events of one reason about one job."""

    posted_us: int
    """When one was posted last."""
    waiting: MergedEvent | None = None
    """What has come since."""


class EventPoster:
    """Posts the Events of all jobs."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._repeats: dict[str, dict[str, Repeats]] = {}
        """By the job's uid, then by the reason."""

    def forget_all_but(self, uids: Collection[str]) -> None:
        self._repeats = {uid: repeats for uid, repeats in self._repeats.items() if uid in uids}

    def take(self, job: JobSnapshot, events: Collection[NewEvent], *, now_us: int) -> list[MergedEvent]:
        """Return what is to be posted about the job now: of these Events, and of those that have waited."""
        repeats = self._repeats.setdefault(job.uid, {})
        due = [*_new(repeats, job, events, now_us), *_waited(repeats, now_us)]
        if not repeats:
            del self._repeats[job.uid]
        return due

    async def post(self, merged: MergedEvent) -> None:
        """Post it. A namespace that is going away takes no more of them."""
        path = paths.core_path("events", merged.job.namespace)
        try:
            await self._kube.create(path, event_document(merged))
        except Missing:
            pass
        except DueByError as error:
            log.info("an Event was not taken: %s", error)


def _new(
    repeats: dict[str, Repeats], job: JobSnapshot, events: Collection[NewEvent], now_us: int
) -> Iterator[MergedEvent]:
    """Yield the Events whose reason is new; the others wait."""
    for event in events:
        merged = MergedEvent(event=event, job=job, first_us=now_us, last_us=now_us, count=1)
        if before := repeats.get(event.reason):
            before.waiting = _merge(before.waiting, merged)
        else:
            repeats[event.reason] = Repeats(posted_us=now_us)
            yield merged


def _waited(repeats: dict[str, Repeats], now_us: int) -> Iterator[MergedEvent]:
    """Yield what has waited for long enough, and forget reasons of which nothing has come since."""
    for reason, before in list(repeats.items()):
        if now_us - before.posted_us < MERGED_US:
            continue
        del repeats[reason]
        if before.waiting:
            repeats[reason] = Repeats(posted_us=now_us)
            yield before.waiting


def _merge(waiting: MergedEvent | None, new: MergedEvent) -> MergedEvent:
    if waiting is None:
        return new
    return replace(new, first_us=waiting.first_us, count=waiting.count + new.count)


def event_document(merged: MergedEvent) -> dict[str, Any]:
    """Return the Event as the API server takes it."""
    job, event = merged.job, merged.event
    owner = names.job_owner(job.name, job.uid)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{job.name}.", "namespace": job.namespace, "labels": names.MANAGED},
        "involvedObject": {
            **{name: owner[name] for name in ("apiVersion", "kind", "name", "uid")},
            "namespace": job.namespace,
        },
        "type": "Warning" if event.is_warning else "Normal",
        "reason": event.reason,
        "message": event.message[:MAX_EVENT],
        "source": {"component": COMPONENT},
        "firstTimestamp": format_time(merged.first_us),
        "lastTimestamp": format_time(merged.last_us),
        "count": merged.count,
    }
