"""What must hold, whatever fails: checked at each write while the world runs, and of its sinks and jobs at the end.

Rows are read as readers are told to: of a sink with `_SUCCESS`, the parts that it lists, or all there are if it lists
none. A promise counts as broken by DueBy if a job is later than the faults of its world explain (weather.py).
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from dueby_api.grid import Grid
from dueby_api.units import to_micros
from dueby_worker.output.part_names import is_part_name, part_name
from dueby_worker.output.rows import read_footer
from support.world.cluster import LEASE, Cluster, phase_of, photo_name
from support.world.devices import class_of
from support.world.network import Request
from support.world.objects import Document, Stored
from support.world.scheduler import Process

SUCCESS = "_SUCCESS"
LEASE_KEY = ("leases", *LEASE.split("/"))
# A claim that stopped being true while it was made is taken back within this time.
TAKEN_BACK_S = 20.0
OVER = ("Succeeded", "Failed")


@dataclass(eq=False)
class Checks:
    """The checks of one world, and what they have found."""

    cluster: Cluster
    cost_s: Callable[[], float] = lambda: 0.0
    """How late the faults so far may make a job."""
    broken: list[str] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)
    """Jobs that were promised their deadline, and by what, by uid."""
    _candidate: str = ""
    leader: str = ""
    """The operator that has taken the Lease last."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why jobs have failed."""
    finished: dict[str, tuple[int, str]] = field(default_factory=dict)
    """When a sink was finished last, and by which job's uid, by its URI."""
    touched: set[str] = field(default_factory=set)
    """Jobs that a user has changed since, by uid."""

    _read: dict[bytes, list[Document]] = field(default_factory=dict)

    def begin(self) -> None:
        """Look at everything from now on."""
        self.cluster.server.listeners.append(self._changed)
        self.cluster.server.heard.append(self._heard)
        self.cluster.bucket.written.append(self._written)

    def fail(self, sentence: str) -> None:
        """Note that something is broken."""
        self.cluster.world.tell(f"BROKEN: {sentence}")
        self.broken.append(sentence)

    def _heard(self, request: Request) -> None:
        """Look at a write of an operator that is about to be done."""
        by = request.by.name
        if "leases" in request.path:
            self._candidate = by
        elif by != self.leader:
            self.fail(f"{by} writes while {self.leader or 'nobody'} holds the Lease: {request}")

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        if after is not None and after.place.key == LEASE_KEY and after.document["spec"].get("holderIdentity"):
            self.leader = self._candidate
        if after is None or after.place.kind != "inferencejobs":
            return
        status, uid = after.document.get("status") or {}, after.metadata["uid"]
        said = {each["type"]: each for each in status.get("conditions", ())}
        is_hard = after.document["spec"].get("deadlineClass") == "Hard"
        if is_hard and _is_true(said, "Feasible") and _is_true(said, "OnTrack") and uid not in self.promised:
            self.promised[uid] = f"{said['OnTrack']['reason']} at {self.cluster.world.seconds:.1f} s"
        if uid in self.promised and uid not in self.touched and said.get("DeadlineMet", {}).get("status") == "False":
            self.touched.add(uid)
            self._look_at_promise(after, self.promised[uid])
        if phase_of(after) == "Failed" and (before is None or phase_of(before) != "Failed"):
            self.reasons[said.get("Failed", {}).get("reason", "")] += 1
        was_over = before is not None and phase_of(before) in OVER
        if phase_of(after) == "Succeeded" and not was_over:
            sink = after.document["spec"]["sink"]["uri"]
            begun_us = to_micros(datetime.fromisoformat(after.metadata["creationTimestamp"]))
            if self.finished.get(sink, (0, ""))[0] < begun_us:
                self.fail(f"{after.place.name} has succeeded, and nobody has finished {sink}")

    def _look_at_promise(self, job: Stored, promise: str) -> None:
        """Look at a job that has missed its deadline: by more than the faults explain?"""
        deadline_us = to_micros(datetime.fromisoformat(job.document["status"]["deadlineTime"]))
        late_s = (self.cluster.world.now_us - deadline_us) / 1e6
        if late_s > self.cost_s():
            self.fail(f"{job.place.name} was promised its deadline ({promise}), and is {late_s:.0f} s late")

    def _written(self, by: Process, uri: str, data: bytes | None) -> None:
        sink, _, name = uri.rpartition("/")
        job = by.attributes.get("job", "")
        if name == SUCCESS and data is not None:
            self.finished[sink] = self.cluster.world.now_us, job
        elif name == SUCCESS and self.finished.get(sink, (0, ""))[1] == job and by.attributes.get("step") != "finish":
            self.fail(f"{by.name} empties the sink that its own job has finished: {sink}")
        if name == SUCCESS or (is_part_name(name) and f"{sink}/{SUCCESS}" in self.cluster.bucket.objects):
            self.look_at_sink(sink)

    def look_at_sink(self, sink: str, claimed: bytes = b"") -> None:
        """Compare the rows of a finished sink with what it claims, or with what it `claimed` some seconds ago.

        That a part is missing is seen by whoever reads, so a finish step has time to take back what it has claimed of a
        sink that was emptied meanwhile. Other rows than those that are claimed would be seen by nobody.
        """
        claim = self.cluster.bucket.objects.get(f"{sink}/{SUCCESS}")
        if claim is None or claimed not in (b"", claim):
            return
        names = [name for name in self.cluster.bucket.below(f"{sink}/") if is_part_name(name)]
        listed = _listed_in(json.loads(claim), names)
        if missing := sorted(set(listed) - set(names)):
            if claimed:
                self.fail(f"{sink}: {SUCCESS} lists parts that aren't there: {', '.join(missing[:3])}")
            else:
                self.cluster.world.at(TAKEN_BACK_S, lambda: self.look_at_sink(sink, claim))
            return
        for wrong in self._wrong_rows(sink, json.loads(claim), listed):
            self.fail(f"{sink}: {wrong}")
            return

    def _wrong_rows(self, sink: str, claim: Document, names: Iterable[str]) -> Iterator[str]:
        objects = self.cluster.bucket.objects
        counts: Counter[int] = Counter()
        folders = set()
        for name in names:
            data = objects[f"{sink}/{name}"]
            if read_footer(io.BytesIO(data)).origin.fingerprint != claim["fingerprint"]:
                yield f"{name} is of another job than {SUCCESS}"
            for row in self._rows_of(data):
                counts[row["index"]] += 1
                if row["classes"][0] != class_of(row["index"]):
                    yield f"{name}: the row of image {row['index']} is another image's"
                folder, _, photo = row["uri"].rpartition("/")
                folders.add(folder)
                if photo != photo_name(row["index"]):
                    yield f"{name}: the row {row['index']} is of {photo}"
        if len(folders) > 1:
            yield f"there are rows of images in {', '.join(sorted(folders))}"
        if lost := [index for index in range(claim["images"]) if not counts[index]]:
            yield f"{len(lost)} rows of {claim['images']} are lost, such as that of image {lost[0]}"
        if doubled := [index for index, count in counts.items() if count > 1 or index >= claim["images"]]:
            yield f"{len(doubled)} rows too many, such as that of image {doubled[0]}"

    def _rows_of(self, data: bytes) -> list[Document]:
        """Return the rows of a part; the same part is read once."""
        if data not in self._read:
            self._read[data] = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
        return self._read[data]

    def look_at_end(self) -> None:
        """Look at every sink and every job once all is quiet."""
        for uri in list(self.cluster.bucket.objects):
            if uri.endswith(f"/{SUCCESS}"):
                self.look_at_sink(uri.removesuffix(f"/{SUCCESS}"))


def _listed_in(claim: Document, names: list[str]) -> list[str]:
    """Return the parts that a claim lists; all there are if it lists none."""
    if not claim.get("partSize"):
        return names
    grid = Grid(images=claim["images"], part_size=claim["partSize"], mark=claim.get("mark", ""))
    return [part_name(grid, part) for part in range(grid.parts)]


def _is_true(said: Mapping[str, Any], kind: str) -> bool:
    return bool(said.get(kind, {}).get("status") == "True")
