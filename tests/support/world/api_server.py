"""A simulated API server: objects with versions, lists, watches, conflicts, deletion, garbage collection.

It knows what the operator relies on: names are taken once, a write with an old version or another uid is a conflict, of
what is sent to `/status` the status alone is taken, and a watch shows what happened after a version. Each object is
kept as a document and as its JSON, since lists are read every two seconds.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dueby_api.units import format_time
from support.world.network import Reply, Request, json_reply
from support.world.objects import Document, Key, Place, Stop, Stored, has_fields, is_selected, merged, place_of
from support.world.scheduler import World

# Versions that are remembered for watches.
REMEMBERED = 2000
# Kinds that are served.
SERVED = (
    *("inferencejobs", "gpuprofiles", "jobs", "cronjobs", "pods", "configmaps", "events", "nodes"),
    *("resourcequotas", "leases", "limitranges", "podtemplates", "provisioningrequests", "capacitybuffers"),
)

# Kinds whose specs have a generation.
GENERATIONS = ("inferencejobs", "jobs")


@dataclass(eq=False)
class _Watch:
    place: Place
    selector: str
    reply: Reply


# Called with each change: the object before and after.
Changed = Callable[[Stored | None, Stored | None], None]
Fault = Callable[[Request], str]


class APIServer:
    """All objects of the cluster."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.objects: dict[Key, Stored] = {}
        self.version = 1
        self.listeners: list[Changed] = []
        self.fault: Fault = lambda request: ""
        """What goes wrong with a request: "" or a status to answer with, "lost" for one that is done without answer."""
        self.heard: list[Callable[[Request], None]] = []
        """Called with each write that is about to be done."""
        self._history: list[tuple[int, str, Stored]] = []
        self._watches: list[_Watch] = []
        self._made = 0

    def serve(self, request: Request, come_back: Callable[[Reply], None]) -> None:
        """Answer a request."""
        is_write = request.method != "GET"
        fault = self.fault(request)
        if fault in ("500", "409", "429", "503"):
            come_back(json_reply(int(fault), {"message": "a fault of the simulation"}))
            return
        if fault == "dropped":
            return
        if is_write and "dryRun" not in request.query:
            for listener in self.heard:
                listener(request)
        try:
            reply = self._answer(request)
        except Stop as stop:
            reply = json_reply(stop.status, {"message": str(stop)})
        if is_write and "dryRun" not in request.query and not (place_of(request.path).kind == "leases" and not fault):
            self.world.tell(f"{request.by.name}: {request} {reply.status}{f' ({fault})' if fault else ''}")
        if fault != "lost":
            come_back(reply)

    def _answer(self, request: Request) -> Reply:
        place = place_of(request.path)
        if place.kind not in SERVED:
            raise Stop(404, f"there is no kind {place.kind}")
        match request.method:
            case "GET" if "watch" in request.query:
                return self._watch(place, request)
            case "GET" if place.name:
                return Reply(200, self.get(place.key).encoded)
            case "GET":
                return self._list(place, request.query)
            case "POST":
                return Reply(201, self.create(place, request.body, dry="dryRun" in request.query).encoded)
            case "PUT":
                return Reply(200, self._put(place, request.body).encoded)
            case "PATCH":
                return Reply(200, self._merge(place, request.body).encoded)
            case "DELETE":
                self.delete(place.key, request.body or {})
                return json_reply(200, {"kind": "Status"})
        raise Stop(405, request.method)

    def get(self, key: Key) -> Stored:
        """Return the object. Raise Stop if there is none."""
        if key not in self.objects:
            raise Stop(404, f"{key} not found")
        return self.objects[key]

    def all(self, kind: str, namespace: str = "") -> Iterator[Stored]:
        """Yield the objects of a kind, by their names."""
        for key in sorted(key for key in self.objects if key[0] == kind and namespace in ("", key[1])):
            if key in self.objects:
                yield self.objects[key]

    def create(self, place: Place, body: Document, *, dry: bool = False) -> Stored:
        """Create an object."""
        metadata = dict(body.get("metadata") or {})
        if "name" not in metadata:
            self._made += 1
            metadata["name"] = f"{metadata.pop('generateName')}{self._made:05}"
        place = replace(place, name=metadata["name"])
        if place.key in self.objects:
            raise Stop(409, f"{place.key} already exists")
        if dry:
            return Stored(place, body, json.dumps(body).encode())
        self._made += 1
        metadata |= {"uid": f"uid-{self._made}", "creationTimestamp": format_time(self.world.now_us)}
        metadata |= {"namespace": place.namespace} if place.namespace else {}
        metadata |= {"generation": 1} if place.kind in GENERATIONS else {}
        return self._store(place, {**body, "metadata": metadata})

    def _put(self, place: Place, body: Document) -> Stored:
        before = self.get(place.key)
        wanted = body.get("metadata") or {}
        for name in ("resourceVersion", "uid"):
            if wanted.get(name) not in (None, before.metadata[name]):
                raise Stop(409, f"{place.key}: the {name} is another")
        if place.subresource == "status":
            return self._store(before.place, {**before.document, "status": body.get("status", {})})
        kept = {"status": before.document["status"]} if "status" in before.document else {}
        return self.change(place.key, {**body, **kept}, before=before)

    def _merge(self, place: Place, body: Document) -> Stored:
        before = self.get(place.key)
        metadata = dict(body.get("metadata") or {})
        if metadata.pop("uid", before.metadata["uid"]) != before.metadata["uid"]:
            raise Stop(422, "metadata.uid: field is immutable")
        return self.change(place.key, merged(before.document, {**body, "metadata": metadata}), before=before)

    def change(self, key: Key, document: Document, *, before: Stored | None = None) -> Stored:
        """Store the document as the object's next version; its identity stays."""
        before = before or self.get(key)
        own = ("uid", "creationTimestamp", "namespace", "deletionTimestamp", "generation")
        metadata = {**document["metadata"], **{name: before.metadata[name] for name in own if name in before.metadata}}
        if "generation" in metadata and document.get("spec") != before.document.get("spec"):
            metadata["generation"] += 1
        return self._store(before.place, {**document, "metadata": metadata})

    def set_status(self, key: Key, status: Document) -> None:
        """Store a status, as the cluster's own controllers do."""
        before = self.objects.get(key)
        if before is not None and before.document.get("status") != status:
            self._store(before.place, {**before.document, "status": status})

    def _store(self, place: Place, document: Document) -> Stored:
        self.version += 1
        document = {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}
        before = self.objects.get(place.key)
        stored = Stored(place, document, json.dumps(document, separators=(",", ":")).encode())
        self.objects[place.key] = stored
        self._happened("MODIFIED" if before else "ADDED", stored)
        for listener in self.listeners:
            listener(before, stored)
        return stored

    def delete(self, key: Key, options: Document) -> None:
        """Delete the object, or begin to: a pod has its grace, and an object that waits has what it owns."""
        before = self.get(key)
        uid = (options.get("preconditions") or {}).get("uid")
        if uid not in (None, before.metadata["uid"]):
            raise Stop(409, f"{key}: the uid is another")
        is_begun = key[0] == "pods" and (before.document.get("status") or {}).get("phase") not in (
            *("Succeeded", "Failed"),
            *(() if before.document["spec"].get("nodeName") else ("Pending", None, "")),
        )
        waits = options.get("propagationPolicy") == "Foreground" and any(self.owned_by(before.metadata["uid"]))
        if not (is_begun or waits):
            self.remove(key)
        elif "deletionTimestamp" not in before.metadata:
            grace_s = before.document["spec"].get("terminationGracePeriodSeconds", 30) if is_begun else 0
            at = format_time(self.world.now_us + grace_s * 1_000_000)
            metadata = {**before.metadata, "deletionTimestamp": at, **({"finalizers": ["foreground"]} if waits else {})}
            self._store(before.place, {**before.document, "metadata": metadata})

    def remove(self, key: Key) -> None:
        """Remove the object; what it owns is left to the garbage collection."""
        before = self.objects.pop(key, None)
        if before is None:
            return
        self.version += 1
        metadata = {**before.metadata, "resourceVersion": str(self.version)}
        document = {**before.document, "metadata": metadata}
        self._happened("DELETED", Stored(before.place, document, json.dumps(document).encode()))
        for listener in self.listeners:
            listener(before, None)

    def owned_by(self, uid: str) -> Iterator[Stored]:
        """Yield what has this owner."""
        for stored in list(self.objects.values()):
            if any(owner["uid"] == uid for owner in stored.metadata.get("ownerReferences") or ()):
                yield stored

    def _list(self, place: Place, query: Mapping[str, str]) -> Reply:
        found = [
            stored.encoded
            for stored in self.all(place.kind, place.namespace)
            if is_selected(stored, query.get("labelSelector", ""))
            and has_fields(stored.document, query.get("fieldSelector", ""))
        ]
        head = b'{"metadata":{"resourceVersion":"%d"},"items":[' % self.version
        return Reply(200, head + b",".join(found) + b"]}")

    def _watch(self, place: Place, request: Request) -> Reply:
        since = int(request.query.get("resourceVersion") or 0)
        if self._history and since < self._history[0][0] - 1 and len(self._history) >= REMEMBERED:
            raise Stop(410, "too old resource version")
        reply = Reply(200, lines=deque())
        watch = _Watch(place, request.query.get("labelSelector", ""), reply)
        for version, kind, stored in self._history:
            if version > since:
                self._show(watch, kind, stored)
        self._watches.append(watch)
        self.world.at(float(request.query.get("timeoutSeconds", 290)), lambda: self._end(watch))
        self.world.at(60, lambda: self._bookmark(watch))
        return reply

    def _bookmark(self, watch: _Watch) -> None:
        if watch in self._watches:
            document = {"metadata": {"resourceVersion": str(self.version)}}
            watch.reply.push(json.dumps({"type": "BOOKMARK", "object": document}).encode())
            self.world.at(60, lambda: self._bookmark(watch))

    def _end(self, watch: _Watch, *, cut: bool = False) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
            watch.reply.close(cut=cut)

    def cut_watches(self) -> None:
        """Break every watch."""
        for watch in list(self._watches):
            self._end(watch, cut=True)

    def _happened(self, kind: str, stored: Stored) -> None:
        self._history.append((self.version, kind, stored))
        if len(self._history) > 2 * REMEMBERED:
            del self._history[:-REMEMBERED]
        for watch in self._watches:
            self._show(watch, kind, stored)

    def _show(self, watch: _Watch, kind: str, stored: Stored) -> None:
        place = watch.place
        is_there = place.kind == stored.place.kind and place.namespace in ("", stored.place.namespace)
        if is_there and is_selected(stored, watch.selector):
            watch.reply.push(b'{"type":"%s","object":%s}' % (kind.encode(), stored.encoded))


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What a controller does about the objects of a kind."""

    kinds: tuple[str, ...]
    delay_s: float
    act: Callable[[Key], None]
    pending: set[Key] = field(default_factory=set)


def follow(server: APIServer, watching: Watching) -> None:
    """Have a controller act on each object of its kinds a moment after it has changed."""

    def changed(before: Stored | None, after: Stored | None) -> None:
        stored = after or before
        if stored is None or stored.place.kind not in watching.kinds or stored.place.key in watching.pending:
            return
        key = stored.place.key
        watching.pending.add(key)

        def act() -> None:
            watching.pending.discard(key)
            watching.act(key)

        server.world.at(watching.delay_s, act)

    server.listeners.append(changed)
