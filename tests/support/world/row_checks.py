"""What must hold of sinks: looked at at each write to one.

Rows are read as readers are told to: of a sink with `_SUCCESS`, the parts that it lists, or all there are if it lists
none.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_worker.output.part_names import generation_in, is_part_name, part_name, part_of
from dueby_worker.output.rows import read_footer
from dueby_worker.output.sink_manifest import SINK_MANIFEST, decode_sink_manifest
from dueby_worker.storage.generations import path_in
from support.world.cluster import Cluster, photo_name
from support.world.devices import class_of, number_of
from support.world.objects import Document
from support.world.scheduler import Process

SUCCESS = "_SUCCESS"
_MANIFEST = re.compile(r"/_dueby/job(\.g\d{4,})?\.json$")
_LATER_INDEX = re.compile(r"/_dueby/index/index\.g(\d{4,})\.json$")
# A claim that stopped being true while it was made is taken back within this time.
TAKEN_BACK_S = 5.0
# So is a part in a sink that is another job's by then.
DELETED_S = 30.0


@dataclass(eq=False)
class RowChecks:
    """The checks of all sinks of one world."""

    cluster: Cluster
    fail: Callable[[str], None]
    finished: dict[str, tuple[int, str]] = field(default_factory=dict)
    """When a sink was finished last, and by which job's uid, by its URI."""
    _claims: dict[str, Document] = field(default_factory=dict)
    """What the newest `_SUCCESS` of a sink has said, by its URI."""
    _there: set[str] = field(default_factory=set)
    """What is written once: parts and manifests, by URI."""
    _read: dict[bytes, tuple[str, list[Document]]] = field(default_factory=dict)
    """The fingerprint and the rows of parts."""

    def begin(self) -> None:
        """Look at everything from now on."""
        self.cluster.bucket.written.append(self._written)

    def look_at_all(self) -> None:
        """Look at every finished sink."""
        for uri in list(self.cluster.bucket.objects):
            if uri.endswith(f"/{SUCCESS}"):
                self._look_at_sink(uri.removesuffix(f"/{SUCCESS}"))

    def _written(self, by: Process, uri: str, data: bytes | None) -> None:
        sink, _, name = uri.rpartition("/")
        job = by.attributes.get("job", "")
        if name == SUCCESS and data is not None:
            self.finished[sink] = self.cluster.world.now_us, job
            self._claims[sink] = json.loads(data)
        elif name == SUCCESS and self.finished.get(sink, (0, ""))[1] == job and not self._may_take_away(by, sink):
            self.fail(f"{by.name} empties the sink that its own job has finished: {sink}")
        if is_part_name(name) or _MANIFEST.search(uri):
            self._look_at_what_is_written_once(by, uri, data)
        if is_part_name(name) and data is not None:
            self._look_at_owner(by, uri)
        if (index := _LATER_INDEX.search(uri)) and data is not None:
            self._look_at_new_images(uri[: index.start()], int(index[1]))
        if name == SUCCESS or (is_part_name(name) and f"{sink}/{SUCCESS}" in self.cluster.bucket.objects):
            self._look_at_sink(sink)

    def _look_at_what_is_written_once(self, by: Process, uri: str, data: bytes | None) -> None:
        if data is None:
            self._there.discard(uri)
        elif uri in self._there:
            self.fail(f"{by.name} writes over what is there already: {uri}")
        else:
            self._there.add(uri)

    def _look_at_new_images(self, sink: str, generation: int) -> None:
        """See that nobody takes a sink for finished once images are known that have no row."""
        claim = self.cluster.bucket.objects.get(f"{sink}/{SUCCESS}")
        if claim is not None and json.loads(claim).get("generation", 1) < generation:
            self.fail(f"{sink}: {SUCCESS} is there, and generation {generation} has images without a row")

    def _look_at_owner(self, by: Process, uri: str) -> None:
        """See that a worker in whose sink another job has begun takes back what it writes, unless it can't."""
        if self._is_of_sink(uri) or self.cluster.bucket.is_late:
            return
        stands_still_s = max(0.0, (by.paused_until_us - self.cluster.world.now_us) / 1e6)

        def look() -> None:
            is_able = by.attributes.get("exit_code", 0) not in (137, 143) and by.name not in self.cluster.bucket.away
            if uri in self.cluster.bucket.objects and not self._is_of_sink(uri) and is_able:
                self.fail(f"{by.name} leaves a part in a sink that is another job's: {uri}")

        self.cluster.world.at(stands_still_s + DELETED_S, look)

    def _may_take_away(self, by: Process, sink: str) -> bool:
        """Return whether `_SUCCESS` is a finish step's own, or what it says is kept, as where a generation follows."""
        if by.attributes.get("step") == "finish":
            return True
        path = path_in(self._claims[sink].get("generation", 1), "_dueby/success.json")
        kept = self.cluster.bucket.objects.get(f"{sink}/{path}", b"{}")
        return bool(json.loads(kept).get("fingerprint") == self._claims[sink]["fingerprint"])

    def _is_of_sink(self, uri: str) -> bool:
        """Return whether a part is one of those that the manifest of its generation tells of."""
        sink, _, name = uri.rpartition("/")
        data = self.cluster.bucket.objects.get(f"{sink}/{path_in(generation_in(name), SINK_MANIFEST)}")
        try:
            return data is not None and part_of(name, decode_sink_manifest(data, sink=sink).grid) is not None
        except Invalid:
            return False

    def _look_at_sink(self, sink: str, claimed: bytes = b"") -> None:
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
                self.cluster.world.at(TAKEN_BACK_S, lambda: self._look_at_sink(sink, claim))
            return
        for wrong in self._wrong_rows(sink, json.loads(claim), listed):
            self.fail(f"{sink}: {wrong}")
            return

    def _wrong_rows(self, sink: str, claim: Document, names: Iterable[str]) -> Iterator[str]:
        objects = self.cluster.bucket.objects
        fingerprints = {each.get("generation", 1): each["fingerprint"] for each in _generations(claim)}
        images = sum(each["images"] for each in _generations(claim))
        counts: Counter[int] = Counter()
        folders, found = set(), list[Document]()
        for name in names:
            fingerprint, rows = self._read_part(objects[f"{sink}/{name}"])
            if fingerprint != fingerprints.get(generation_in(name)):
                yield f"{name} is of another job than {SUCCESS}"
            found += rows
            for row in rows:
                counts[row["index"]] += 1
                if row["classes"][0] != class_of(number_of(row["uri"])):
                    yield f"{name}: the row of image {row['index']} is another image's"
                folder, _, photo = row["uri"].rpartition("/")
                folders.add(folder)
                if generation_in(name) == 1 and photo != photo_name(row["index"]):
                    yield f"{name}: the row {row['index']} is of {photo}"
        if len(folders) > 1:
            yield f"there are rows of images in {', '.join(sorted(folders))}"
        if lost := [index for index in range(images) if not counts[index]]:
            yield f"{len(lost)} rows of {images} are lost, such as that of image {lost[0]}"
        if doubled := [index for index, count in counts.items() if count > 1 or index >= images]:
            yield f"{len(doubled)} rows too many, such as that of image {doubled[0]}"
        yield from _wrong_replacements(found)

    def generations_by_uri(self, sink: str) -> dict[str, int] | None:
        """Return of which generation the newest row of each image of a finished sink is; None if it isn't finished."""
        claim = self.cluster.bucket.objects.get(f"{sink}/{SUCCESS}")
        if claim is None:
            return None
        found: dict[str, int] = {}
        for name in sorted(_listed_in(json.loads(claim), []), key=generation_in):
            if (part := self.cluster.bucket.objects.get(f"{sink}/{name}")) is not None:
                found |= dict.fromkeys((row["uri"] for row in self._read_part(part)[1]), generation_in(name))
        return found

    def _read_part(self, data: bytes) -> tuple[str, list[Document]]:
        """Return the fingerprint and the rows of a part; the same part is read once."""
        if data not in self._read:
            rows = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False).to_pylist()
            self._read[data] = read_footer(io.BytesIO(data)).origin.fingerprint, rows
        return self._read[data]


def _wrong_replacements(rows: Iterable[Document]) -> Iterator[str]:
    """Yield what is wrong with rows that replace others, or that should have."""
    by_index = {row["index"]: row for row in rows}
    replaced = set[int]()
    for index, row in sorted(by_index.items()):
        if (old := row.get("replaces")) is None:
            continue
        if old >= index or by_index[old]["uri"] != row["uri"]:
            yield f"the row {index} of {row['uri']} replaces the row {old} of {by_index[old]['uri']}"
        if old in replaced:
            yield f"the row {old} of {row['uri']} is replaced twice"
        replaced.add(old)
    counts = Counter(row["uri"] for index, row in by_index.items() if index not in replaced)
    if doubled := [uri for uri, count in counts.items() if count > 1]:
        yield f"{len(doubled)} images have several rows that count, such as {doubled[0]}"


def _generations(claim: Document) -> list[Document]:
    """Return what a claim says of each generation, in their order."""
    return [*claim.get("earlier", ()), claim]


def _listed_in(claim: Document, names: list[str]) -> list[str]:
    """Return the parts that a claim lists; all there are if it lists none."""
    if not claim.get("partSize"):
        return names
    grids = (
        Grid(
            images=each["images"],
            part_size=each["partSize"],
            mark=each.get("mark", ""),
            generation=each.get("generation", 1),
            first_image=each.get("firstImage", 0),
        )
        for each in _generations(claim)
    )
    return [part_name(grid, part) for grid in grids for part in range(grid.parts)]
