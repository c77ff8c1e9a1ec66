"""All hostile cases of the chaos by their names, and the one that is many objects at once."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from chaos.cluster import CROWD, Document, insist
from chaos.hostile import MAX_LATE_S, Case, HostileCases
from chaos.hostile_crowd import CROWD_DEADLINE_S, LABEL, OWNER, in_requests, make_crowd, owned_by
from chaos.hostile_objects import BAD_JOBS, Make
from chaos.hostile_sinks import SINK_CASES


def crowded(cases: HostileCases, name: str) -> tuple[str, str, bool]:
    """Hundreds of jobs, some of them as large as etcd takes, and forged Jobs, ConfigMaps and pods; each job is told."""
    made = make_crowd(name, seed=int(name.rpartition("-")[2]))
    refused = _create(cases, made["inferencejobs"])
    for job in made["inferencejobs"]:
        if "status" in job:
            refused += not _write_status(cases, job)
    owner = cases.until(lambda: cases.cluster.get("infj", f"{name}-{OWNER}", namespace=CROWD), MAX_LATE_S)
    for kind in ("jobs", "configmaps", "pods"):
        refused += _create(cases, [owned_by(owner["metadata"]["uid"], document) for document in made[kind]])
    cases.until(lambda: None, CROWD_DEADLINE_S)  # a list of them all is many megabytes
    jobs = cases.until(lambda: _told(cases, name), MAX_LATE_S) or []
    for kind in ("infj", "pods", "jobs", "configmaps"):
        _kubectl(cases, "delete", kind, "-l", f"{LABEL}={name}", "--wait=false")
    phases = Counter(job["status"]["phase"] for job in jobs)
    told = f"{len(jobs)} jobs: {', '.join(f'{count} {phase}' for phase, count in sorted(phases.items()))}"
    return "Survived", f"{told}; {refused} requests were refused", bool(jobs)


def _create(cases: HostileCases, documents: Sequence[Document]) -> int:
    """Create them and return how many requests were refused."""
    # What the definition doesn't know is dropped, as by whoever sends it without kubectl.
    words = ("create", "-f", "-", "--validate=ignore")
    return sum(not _kubectl(cases, *words, stdin=json.dumps(request)) for request in in_requests(documents))


def _write_status(cases: HostileCases, job: Document) -> bool:
    patch = json.dumps({"status": job["status"]})
    words = ("patch", "infj", job["metadata"]["name"], "--subresource=status", "--type=merge")
    return _kubectl(cases, *words, "--patch-file=/dev/stdin", stdin=patch)


def _kubectl(cases: HostileCases, *words: str, stdin: str | None = None) -> bool:
    return insist(cases.world, cases.cluster, "-n", CROWD, *words, stdin=stdin)[0]


def _told(cases: HostileCases, name: str) -> list[Document]:
    """Return the crowd's jobs once all of them are over, or told why not; none before."""
    jobs = cases.cluster.items("infj", f"{LABEL}={name}", namespace=CROWD)
    waiting = [job for job in jobs if not is_told(job.get("status", {}))]
    return [] if waiting else jobs


def is_told(status: Document) -> bool:
    """Return whether the job is over, or is one that its operator doesn't read, and says so."""
    return status.get("phase") in ("Succeeded", "Failed") or "waits to be read" in status.get("message", "")


def _bad(make: Make) -> Case:
    return lambda cases, name: cases.bad_job(make, name)


CASES: Mapping[str, Case] = {
    **{case: _bad(make) for case, make in BAD_JOBS.items()},
    "workers that answer anything, and hangers-on": HostileCases.lying_job,
    "names that are taken": HostileCases.planted_names,
    "strangers with our labels": HostileCases.labelled,
    "a crowd of large and many objects": crowded,
    **SINK_CASES,
}
