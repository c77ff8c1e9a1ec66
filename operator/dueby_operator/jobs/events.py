"""What `kubectl describe infj` shows at its end: an Event for each change of the status, posted after it. Pure.

Events are for people and go away after an hour; nothing is decided by them. What they tell is the difference of two
statuses, so that one that was never posted was never important.
"""

from collections.abc import Mapping
from typing import Any

from dueby_operator.control.conditions import condition, moment
from dueby_operator.jobs.names import MANAGED, owner

Document = dict[str, Any]
COMPONENT = "dueby-operator"
# Conditions of which a change is told, and the status of each that is bad news.
TOLD: Mapping[str, str] = {
    "Indexed": "",
    "Profiled": "False",
    "Feasible": "False",
    "Admitted": "False",
    "OnTrack": "False",
    "DeadlineMet": "False",
    "Complete": "",
    "Failed": "True",
}
# What has a status that is bad news, and isn't.
PASSING = frozenset({"Profiling"})
# What goes without saying.
USUAL = {("Profiled", "Profiled"), ("Admitted", "Admitted"), ("OnTrack", "InTime")}
_LONGEST = 1024


def events_between(
    job: Document, before: Mapping[str, Any], after: Mapping[str, Any], *, now_us: int
) -> list[Document]:
    """The Events of what has changed in the job's status."""
    made = []
    for kind, bad in TOLD.items():
        was, now = condition(before, kind), condition(after, kind)
        if not now or (was.get("status"), was.get("reason")) == (now["status"], now["reason"]):
            continue
        if not was and (kind, now["reason"]) in USUAL:
            continue
        is_bad = now["status"] == bad and now["reason"] not in PASSING
        made.append(_event(job, now["reason"], now.get("message") or kind, is_bad=is_bad, now_us=now_us))
    old = before.get("replans") or []
    for entry in after.get("replans") or []:
        if entry not in old:
            told = f"{entry['reason']}: from {entry['from']} workers to {entry['to']}."
            made.append(_event(job, "Replanned", told, is_bad=entry["reason"] == "WorkerLost", now_us=now_us))
    return made


def _event(job: Document, reason: str, message: str, *, is_bad: bool, now_us: int) -> Document:
    metadata, reference = job["metadata"], owner(job)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"], "labels": MANAGED},
        "involvedObject": {
            **{name: reference[name] for name in ("apiVersion", "kind", "name", "uid")},
            "namespace": metadata["namespace"],
        },
        "type": "Warning" if is_bad else "Normal",
        "reason": reason,
        "message": message[:_LONGEST],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment(now_us),
        "lastTimestamp": moment(now_us),
        "count": 1,
    }
