"""A simulated object store, and the worker's `Store` on it.

An object is created once, listings are never stale, and a request takes its time: what it does, it does at one moment
on its way, whatever becomes of the process that has sent it. So a write may be done though its sender hears that the
store doesn't answer, or is dead, or was paused for minutes before it reads the answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from dueby_api.errors import Transient
from dueby_worker.storage.store import NotFound, ObjectVersion, Store, TooLarge
from support.world.scheduler import Process, World

Answer = TypeVar("Answer")
# A request and its answer on their way, in seconds.
TRAVEL_S = 0.004


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a request."""

    there_s: float = TRAVEL_S
    """How long it is on its way."""
    answer_s: float = 2 * TRAVEL_S
    """When its answer is there, or its sender waits no longer."""
    is_done: bool = True
    """Whether it arrives at all."""
    is_heard: bool = True
    """Whether its answer arrives, and not only a time-out."""
    pause_s: float = 0.0
    """How long its sender stands still before it is sent."""


USUAL = Fate()


@dataclass(eq=False)
class Bucket:
    """All objects, by their whole URI."""

    world: World
    objects: dict[str, bytes] = field(default_factory=dict)
    fate: Callable[[Process, str, str], Fate] = lambda process, what, uri: USUAL
    """What becomes of a request: who sends it, what it does, and about which object."""
    is_late: bool = False
    """Whether the sender of what is done now has given it up."""
    away: set[str] = field(default_factory=set)
    """Processes that could not reach the store for a time, by name."""
    written: list[Callable[[Process, str, bytes | None], None]] = field(default_factory=list)
    """Called with each write: who has sent it, the object's URI, its content; None if it was deleted."""

    def put(self, uri: str, data: bytes, *, only_new: bool, by: Process) -> bool:
        """Write the object; return False if it is there already."""
        if only_new and uri in self.objects:
            return False
        self.objects[uri] = data
        for listener in self.written:
            listener(by, uri, data)
        return True

    def delete(self, uri: str, *, by: Process) -> None:
        """Delete the object, if there is one."""
        if self.objects.pop(uri, None) is not None:
            for listener in self.written:
                listener(by, uri, None)

    def below(self, prefix: str) -> list[str]:
        """Return the names of the objects below the prefix, sorted."""
        return sorted(uri[len(prefix) :] for uri in self.objects if uri.startswith(prefix))


class SimulatedStore(Store):
    """The objects below a URI."""

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the paths of all objects below the folder."""
        return (path for path, _ in self.walk_versions(folder))

    def walk_versions(self, folder: str = "") -> Iterator[tuple[str, str]]:
        """Yield the paths of all objects below the folder, with what they hold."""
        prefix = self.uri_of(f"{folder}/" if folder else "")

        def find() -> list[tuple[str, str]]:
            return [(path, repr(_bucket().objects[prefix + path])) for path in _bucket().below(prefix)]

        found = self._ask(lambda: self._request("walk", folder, find))
        if not found:
            raise NotFound("there are no objects below it")
        yield from found

    def is_folder(self, path: str) -> bool:
        """Return whether there are objects below the path."""
        return not path or bool(_bucket().below(self.uri_of(f"{path.rstrip('/')}/")))

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the object."""
        yield self.read(path)

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        data = self._request("read", path, lambda: _bucket().objects.get(self.uri_of(path)))
        if data is None:
            raise NotFound("there is no such object")
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(size=len(data), max_bytes=max_bytes)
        return data

    def _read_end(self, path: str, length: int) -> bytes:
        return self._read(path, max_bytes=None)[-length:]

    def _version(self, path: str) -> ObjectVersion:
        return ObjectVersion(size=len(self._read(path, max_bytes=None)))

    def _read_range(self, path: str, offset: int, length: int) -> bytes:
        return self._read(path, max_bytes=None)[offset : offset + length]

    def _create(self, path: str, data: bytes) -> bool:
        return self._put("create", path, data)

    def _replace(self, path: str, data: bytes) -> None:
        self._put("replace", path, data)

    def _exists(self, path: str) -> bool:
        return self._request("exists", path, lambda: self.uri_of(path) in _bucket().objects)

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        prefix = self.uri_of(f"{folder}/" if folder else "")
        below = self._request("list", folder, lambda: _bucket().below(prefix))
        yield from dict.fromkeys((name.partition("/")[0], "/" in name) for name in below)

    def _delete(self, path: str) -> None:
        by = World.current.my_thread().process
        self._request("delete", path, lambda: _bucket().delete(self.uri_of(path), by=by))

    def _put(self, what: str, path: str, data: bytes) -> bool:
        uri, by = self.uri_of(path), World.current.my_thread().process
        return self._request(what, path, lambda: _bucket().put(uri, data, only_new=what == "create", by=by))

    def _request(self, what: str, path: str, effect: Callable[[], Answer]) -> Answer:
        """Send a request, and wait for its answer. Raise Transient if there is none."""
        world, bucket = World.current, _bucket()
        thread = world.my_thread()
        fate = bucket.fate(thread.process, what, self.uri_of(path))
        if fate.pause_s:
            world.tell(f"{thread.process.name} stands still for {fate.pause_s:.0f} s before {what} {path}")
            thread.process.paused_until_us = world.now_us + round(fate.pause_s * 1e6)
            world.sleep(0)
        answers: list[Answer] = []

        def arrive() -> None:
            bucket.is_late = fate.there_s > fate.answer_s
            answers.append(effect())
            if what in ("create", "replace", "delete"):
                heard = "" if fate.is_heard else ", and its sender doesn't hear of it"
                world.tell(f"{thread.process.name}: {what} {self.uri_of(path)}: {answers[0]}{heard}")

        if fate.is_done:
            world.at(fate.there_s, arrive)  # whatever becomes of the process
        world.sleep(fate.answer_s)
        if not (fate.is_heard and answers):
            raise Transient(f"{what} {path}: no answer")
        return answers[0]


def _bucket() -> Bucket:
    bucket: Bucket = vars(World.current)["bucket"]
    return bucket
