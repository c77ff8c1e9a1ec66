"""The interface that folders, object stores and web servers share.

A `Store` is rooted at a URI, and every path is relative to it. Three kinds of failure are told apart, because they
mean different things to a job: `Unavailable` is the fault of one object and becomes a row's error; `Transient` is the
store's fault, is retried and never becomes an image's error; `Invalid` is the user's fault. Which of the last two a
refusal is, depends on what was before it: a store that has never been written to was named or set up wrong, and one
that has been has changed, as when a key is rotated or a disk is remounted, and is waited for.

Parts are committed with `create`: a reader sees the whole object or none, and of several writers one wins.
local_store.py and object_store.py say how each store gets there.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeVar

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.schemes import SCHEMES
from dueby_api.words import counted
from dueby_worker.storage.retry import RetryPolicy

Answer = TypeVar("Answer")
# Objects larger than memory are read in pieces of this size.
BLOCK_BYTES = 1 << 20
# What to do about a store that can't create an object on the condition that there is none.
CREATE_ONLY_ADVICE = (
    "Results need a store with conditional writes, which create an object only if there is none (If-None-Match of S3's "
    "PutObject). AWS S3, Google Cloud Storage, Azure and newer versions of most S3 servers have them: use one of these"
)


class Unavailable(DueByError):
    """One object cannot be read, although its store answers. The text is a short sentence."""


BytesOrReason = bytes | Unavailable
"""What one of several objects that were read together holds, or why it can't be read."""


class NotFound(Unavailable):
    """There is no such object."""


class TooLarge(Unavailable):
    """The object is larger than the caller takes."""

    def __init__(self, *, size: int | None, max_bytes: int) -> None:
        """Take the object's size, None if it isn't known, and the limit."""
        known = f"it has {counted(size, 'byte')}" if size is not None else "it goes on"
        super().__init__(f"{known}, more than the limit of {max_bytes:,} bytes")
        self.size = size


class Unsupported(Unavailable):
    """The store lacks what the request asks for, and says so."""


class NotPermitted(DueByError):
    """The store does not let this process write or list. The text is a sentence."""


@dataclass(frozen=True, kw_only=True)
class ObjectVersion:
    """What is known of an object's content without reading it."""

    size: int
    etag: str = ""
    """The store's own mark of the content; empty if it has none."""

    def __str__(self) -> str:
        return f"{self.size} {self.etag}".rstrip()


class ListingAnswers(Protocol):
    """What a listing was answered, for the process that goes on with it (kept_answers.py)."""

    owner: str | None
    """Who may go on with a listing of a bucket; None: nobody."""

    def find(self, question: str) -> str | None:
        """Return the answer; None if it has to be asked for."""

    def keep(self, question: str, answer: str) -> None:
        """Keep an answer."""

    def forget(self) -> bool:
        """Take nothing of it for granted any more. Return whether there was anything."""


class Store(ABC):
    """The objects below a URI. Paths are relative to it, with `/` between names; `""` is the root itself."""

    uri: str
    """Absolute, without `/` at its end."""
    request_bytes = BLOCK_BYTES
    """How many bytes cost about as much as a request: it is no gain to skip fewer."""
    answers: "ListingAnswers | None" = None
    """Where what a listing was answered is kept; None: nowhere."""

    def __init__(self, uri: str, *, field: str, retry: RetryPolicy) -> None:
        self.uri = uri.rstrip("/")
        self.field = field
        self.retry = retry
        self._was_written = False

    @property
    def was_written(self) -> bool:
        """Whether it is known that the store can be written to, so that a refusal will pass."""
        return self._was_written

    def remember_written(self) -> None:
        """Note that an earlier step of the job has written to the store."""
        self._was_written = True

    def read(self, path: str) -> bytes:
        """Return the whole object. Raise Unavailable, or its subclass NotFound, if that is not possible."""
        return self._use(lambda: self._read(path, max_bytes=None))

    def read_end(self, path: str, length: int) -> bytes:
        """Return the object's last bytes, so many of them, or all if it has fewer. Raise as `read` does."""
        return self._use(lambda: self._read_end(path, length))

    def create(self, path: str, data: bytes, *, before: Callable[[], None] = lambda: None) -> bool:
        """Write the object and return True, or return False if it exists. All or nothing, durable, one winner.

        `before` is called before each attempt, of which there may be many. What it raises counts as the attempt's.
        """
        return self._write(lambda: self._create(path, data), before)

    def replace(self, path: str, data: bytes, *, before: Callable[[], None] = lambda: None) -> None:
        """Write the object, whether it exists or not. All or nothing, durable. `before` is as in `create`."""
        self._write(lambda: self._replace(path, data), before)

    def exists(self, path: str, *, cancelled: threading.Event | None = None) -> bool:
        """Return whether the object exists now. A folder is not an object.

        Once `cancelled` is set, the store is not asked again, and its failure is raised as Transient.
        """
        return self._ask(lambda: self._judge(lambda: self._exists(path)), cancelled=cancelled)

    def list_names(self, folder: str = "") -> list[str]:
        """Return the sorted names of the objects directly in the folder; none if there is no such folder."""
        return self.read_names(sorted, folder)

    def read_names(self, read: Callable[[Iterator[str]], Answer], folder: str = "") -> Answer:
        """Return what `read` makes of the names that `list_names` returns. They come one at a time, in any order.

        If the store fails before the last one, `read` is called again and gets all of them.
        """
        return self._use(lambda: read(name for name, is_folder in self._list(folder) if not is_folder))

    def list_folders(self, folder: str = "") -> list[str]:
        """Return the sorted names of the folders directly in the folder."""
        return self._use(lambda: sorted(name for name, is_folder in self._list(folder) if is_folder))

    def delete(self, path: str) -> None:
        """Delete the object. It is no error if it is gone already.

        A refusal is final: who may write need not be allowed to delete.
        """
        try:
            self._ask(lambda: self._delete(path))
        except NotPermitted as refusal:
            raise Invalid(self.field, str(refusal)) from refusal

    def sweep(self, folder: str = "", *, is_deep: bool = False) -> int:
        """Delete what killed writers left in the folder, invisible to readers, and in those below it if `is_deep`.

        Return the number of files.
        """
        return 0

    def read_once(self, path: str, *, max_bytes: int) -> bytes:
        """Read as `read` does, without retries: for callers with a retry policy of their own.

        Raise TooLarge if the object has more bytes; no more than these are ever in memory.
        """
        return self._read(path, max_bytes=max_bytes)

    def exists_once(self, path: str) -> bool:
        """Answer as `exists` does, without retries: for callers with a retry policy of their own."""
        return self._exists(path)

    def version_once(self, path: str) -> ObjectVersion:
        """Return what is known of the object's content, without retries. Raise Unavailable if it can't be read."""
        return self._version(path)

    def look_again(self, path: str) -> None:
        """Take nothing that was known of the object for granted any more."""
        return

    def read_range_once(self, path: str, offset: int, length: int) -> bytes:
        """Return these bytes of the object, fewer where it ends, without retries. Raise as `read_once` does."""
        return self._read_range(path, offset, length)

    def read_block_once(self, path: str, offset: int, length: int) -> bytes:
        """Return these bytes, all of them, as `read_range_once` does. Raise Unavailable if the object ends before."""
        data = self.read_range_once(path, offset, length)
        if len(data) != length:
            raise Unavailable(f"it became shorter while it was read, by {counted(length - len(data), 'byte')}")
        return data

    def _write(self, write: Callable[[], Answer], before: Callable[[], None]) -> Answer:
        def attempt() -> Answer:
            before()
            return write()

        answer = self._use(attempt)
        self._was_written = True
        return answer

    def _use(self, request: Callable[[], Answer]) -> Answer:
        """Return the request's answer. Wait out a refusal by a store that was written to before; others are final."""
        return self._ask(lambda: self._judge(request))

    def _judge(self, request: Callable[[], Answer]) -> Answer:
        try:
            return request()
        except NotPermitted as refusal:
            if self._was_written:
                raise Transient(str(refusal)) from refusal
            raise Invalid(self.field, str(refusal)) from refusal
        except NotFound:
            raise
        except Unavailable as failure:
            if self._was_written:
                raise Transient(str(failure)) from failure
            raise

    def _ask(self, question: Callable[[], Answer], *, cancelled: threading.Event | None = None) -> Answer:
        return self.retry.call(question, what=self.uri, cancelled=cancelled)

    def uri_of(self, path: str) -> str:
        """Return the object's absolute URI."""
        return f"{self.uri}/{path}"

    @abstractmethod
    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the paths, relative to the folder, of all objects below it. Raise Unavailable if it can't be listed."""

    def walk_versions(self, folder: str = "") -> Iterator[tuple[str, str]]:
        """Yield each path that `walk` yields, with a text that is another one once the object is written again.

        It is what the listing says of the object, and empty if it says nothing.
        """
        return ((path, "") for path in self.walk(folder))

    @abstractmethod
    def is_folder(self, path: str) -> bool:
        """Return whether there can be objects below the path."""

    @abstractmethod
    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the object in pieces, since it may be larger than memory. Raise Unavailable if that is not possible."""

    @abstractmethod
    def _read(self, path: str, *, max_bytes: int | None) -> bytes: ...

    @abstractmethod
    def _read_end(self, path: str, length: int) -> bytes: ...

    @abstractmethod
    def _version(self, path: str) -> ObjectVersion: ...

    @abstractmethod
    def _read_range(self, path: str, offset: int, length: int) -> bytes: ...

    @abstractmethod
    def _create(self, path: str, data: bytes) -> bool: ...

    @abstractmethod
    def _replace(self, path: str, data: bytes) -> None: ...

    @abstractmethod
    def _exists(self, path: str) -> bool: ...

    @abstractmethod
    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the names directly in the folder, and of each whether it is that of a folder."""

    @abstractmethod
    def _delete(self, path: str) -> None: ...


class ReadOnlyStore(Store):
    """A store that images are read from and that results cannot go to."""

    def _create(self, path: str, data: bytes) -> bool:
        self._refuse()

    def _replace(self, path: str, data: bytes) -> None:
        self._refuse()

    def _read_end(self, path: str, length: int) -> bytes:
        return self._read(path, max_bytes=None)[-length:]

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        self._refuse()

    def _delete(self, path: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        writable = " or ".join(f"{name}://" for name, entry in SCHEMES.items() if entry.is_writable)
        raise Invalid(self.field, f"{self.uri} can only be read from; results can go to {writable}")
