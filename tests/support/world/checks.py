"""What must hold, whatever fails: checked at each write while the world runs, and of its jobs at the end.

A promise counts as broken by DueBy if its job is later than the faults explain that touched it (excuses.py).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dueby_api.units import to_micros
from support.world.api_server import APIServer
from support.world.cluster import LEASE, RESOURCE, Cluster, phase_of
from support.world.excuses import OVER, Excuses
from support.world.network import Request
from support.world.objects import Document, Stored, place_of
from support.world.row_checks import RowChecks

LEASE_KEY = ("leases", *LEASE.split("/"))
# Between the moment at which an operator writes its Lease and the one at which the API server has it.
LEASE_TRAVEL_S = 2.0
# A job that lags behind by chance, as one in twenty plans does, has its helper within this time.
BY_CHANCE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Promise:
    """That a job was told that it will be in time."""

    said: str
    at_s: float


@dataclass(eq=False)
class Checks:
    """The checks of one world, and what they have found."""

    cluster: Cluster
    excuses: Excuses = field(init=False)
    rows: RowChecks = field(init=False)
    broken: list[str] = field(default_factory=list)
    promised: dict[str, Promise] = field(default_factory=dict)
    """By the job's uid."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why jobs have failed."""
    touched: set[str] = field(default_factory=set)
    """Jobs that a user has changed since, by uid."""
    leader: str = ""
    """The operator that has taken the Lease last."""
    _candidate: str = ""
    _renewed_s: float = 0.0
    """When the Lease was written last."""

    def __post_init__(self) -> None:
        """Make the checks of rows."""
        self.excuses = Excuses(self.cluster.server)
        self.rows = RowChecks(self.cluster, self.fail)

    def begin(self) -> None:
        """Look at everything from now on."""
        self.excuses.begin()
        self.rows.begin()
        self.cluster.server.listeners.append(self._changed)
        self.cluster.server.heard.append(self._heard)

    def fail(self, sentence: str) -> None:
        """Note that something is broken."""
        self.cluster.world.tell(f"BROKEN: {sentence}")
        self.broken.append(sentence)

    def _heard(self, request: Request) -> None:
        """Look at a write of an operator that is about to be done."""
        by = request.by.name
        place = place_of(request.path)
        if place.key == LEASE_KEY:
            self._candidate = by
        elif by != self.leader:
            self.fail(f"{by} writes while {self.leader or 'nobody'} holds the Lease: {request}")
        if (request.method, place.kind) == ("POST", "jobs"):
            name = request.body["metadata"]["name"]
            if ("jobs", place.namespace, name) not in self.cluster.server.objects:
                self._look_at_config_map(place.namespace, request.body)
                self._look_at_devices(request.body)

    def _look_at_config_map(self, namespace: str, job: Document) -> None:
        """See that what the pods of a new Job are told is its own InferenceJob's."""
        found = self.cluster.server.objects.get(("configmaps", namespace, job["metadata"]["name"]))
        owners = found.metadata.get("ownerReferences") if found else None
        if found and owners != job["metadata"]["ownerReferences"]:
            self.fail(f"the pods of {job['metadata']['name']} are told what somebody else has written")

    def _look_at_devices(self, job: Document) -> None:
        """See that a new Job asks for no more devices than there are or can be had beside the others' pods."""
        wanted = _devices_of(job)
        # Where a node is away, pods are made again that still have their devices there.
        if wanted and not any(node.is_cut_off for node in self.cluster.nodes.values()):
            there, taken = count_devices(self.cluster.server)
            there += self.cluster.devices_to_come
            if taken + wanted > there:
                name = job["metadata"]["name"]
                self.fail(f"{name} asks for {wanted} devices of {there}, of which {taken} are taken")

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        if after is not None and after.place.key == LEASE_KEY:
            self._look_at_lease(before, after)
        if after is None or after.place.kind != "inferencejobs":
            return
        status, uid = after.document.get("status") or {}, after.metadata["uid"]
        said = {each["type"]: each for each in status.get("conditions", ())}
        is_hard = after.document["spec"].get("deadlineClass") == "Hard"
        if is_hard and _is_true(said, "Feasible") and _is_true(said, "OnTrack") and uid not in self.promised:
            self.promised[uid] = Promise(said=said["OnTrack"]["reason"], at_s=self.cluster.world.seconds)
        if phase_of(after) in OVER and (before is None or phase_of(before) not in OVER):
            self._look_at_end_of(after, said)

    def _look_at_lease(self, before: Stored | None, after: Stored) -> None:
        """See that nobody takes the Lease from a living operator before it has run out."""
        held_by, taken_by = (each.document["spec"].get("holderIdentity") if each else "" for each in (before, after))
        if before and taken_by and held_by and taken_by != held_by:
            is_living = any(each.name == self.leader and not each.is_dead for each in self.cluster.operators)
            since_s = self.cluster.world.seconds - self._renewed_s
            if is_living and since_s < before.document["spec"]["leaseDurationSeconds"] - LEASE_TRAVEL_S:
                self.fail(f"{self._candidate} takes the Lease {since_s:.1f} s after {self.leader} has renewed it")
        self._renewed_s = self.cluster.world.seconds
        if taken_by:
            self.leader = self._candidate

    def _look_at_end_of(self, job: Stored, said: Mapping[str, Document]) -> None:
        """Look at a job that has just ended: has it ended as it should, and in time if that was promised?"""
        uid, sink = job.metadata["uid"], job.document["spec"]["sink"]["uri"]
        self._look_at_bill_of(job)
        finished_us, _ = self.rows.finished.get(sink, (0, ""))
        if phase_of(job) == "Failed":
            self.reasons[said.get("Failed", {}).get("reason", "")] += 1
        elif finished_us < _micros(job.metadata["creationTimestamp"]):
            self.fail(f"{job.place.name} has succeeded, and nobody has finished {sink}")
        promise = self.promised.get(uid)
        if promise is None or uid in self.touched or _is_true(said, "DeadlineMet"):
            return
        now_us = self.cluster.world.now_us
        ended_us = finished_us if phase_of(job) == "Succeeded" else now_us
        late_s = (min(ended_us, now_us) - _micros(job.document["status"]["deadlineTime"])) / 1e6
        excused_s = self.excuses.late_s(uid, since_s=promise.at_s)
        if late_s > excused_s + BY_CHANCE_S or not excused_s:
            self.fail(
                f"{job.place.name} was promised its deadline ({promise.said} at {promise.at_s:.1f} s), and is "
                f"{late_s:.1f} s late; faults excuse {excused_s:.1f} s"
            )

    def _look_at_bill_of(self, job: Stored) -> None:
        """See that a job that had workers says what their devices did cost, and pays for none any more."""
        status = job.document["status"]
        if "spent" not in status:  # it had no worker, or a user has taken its status away
            return
        coins, seconds = status["spent"]["microUnits"] / 1e6, sum(status["spent"]["deviceSeconds"].values())
        # A second that has begun is paid for, of each of the up to seven pods of a worker. How many there were is not
        # known of a job whose status a user has taken away while it ran.
        begun = 7 * status.get("workersMade", float("inf"))
        if status["spent"]["held"] or not seconds <= coins <= seconds + begun:
            self.fail(f"{job.place.name} has cost {coins} for {seconds} s, and has {status['spent']['held']} yet")

    def look_at_end(self) -> None:
        """Look at every sink once all is quiet."""
        self.rows.look_at_all()


def count_devices(server: APIServer) -> tuple[int, int]:
    """Return the devices that there are, and those that pods have or will have whose Jobs are there."""
    nodes = [node.document["status"]["allocatable"] for node in server.all("nodes")]
    there = sum(int(allocatable[RESOURCE]) for allocatable in nodes)
    pods: Counter[str] = Counter()
    held = 0
    for pod in server.all("pods"):
        is_there = pod.document["status"].get("phase") not in OVER and pod.document["spec"].get("nodeName")
        # One that is being deleted is replaced here once it is gone, on the device that it leaves.
        if is_there and _asks_for_device(pod.document["spec"]):
            held += 1
            pods[pod.metadata["labels"]["batch.kubernetes.io/job-name"]] += 1
    coming = sum(max(0, _open_indices(job) - pods[job.place.name]) for job in server.all("jobs"))
    return there, held + coming


def _open_indices(job: Stored) -> int:
    """Return how many workers of a Job are still to do something."""
    status = job.document.get("status") or {}
    if "deletionTimestamp" in job.metadata or job.document["spec"].get("suspend"):
        return 0
    ended = {*_indices(status.get("completedIndexes", "")), *_indices(status.get("failedIndexes", ""))}
    return max(0, _devices_of(job.document) - len(ended))


def _indices(text: str) -> Iterator[str]:
    return (index for index in text.split(",") if index)


def _devices_of(job: Document) -> int:
    """Return how many devices the pods of a Job have at once."""
    asks = _asks_for_device(job["spec"]["template"]["spec"])
    return int(job["spec"].get("completions", 1)) if asks else 0


def _asks_for_device(spec: Document) -> bool:
    return any(RESOURCE in (each.get("resources", {}).get("requests") or {}) for each in spec["containers"])


def _micros(time: str) -> int:
    return to_micros(datetime.fromisoformat(time))


def _is_true(said: Mapping[str, Any], kind: str) -> bool:
    return bool(said.get(kind, {}).get("status") == "True")
