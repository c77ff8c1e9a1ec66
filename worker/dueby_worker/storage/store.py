"""Where images come from and results go: one small interface over folders, object stores and web servers.

A `Store` is rooted at a URI, and every path is relative to that. Three kinds of failure are told apart, because they
mean different things to a job: `Unavailable` is one object's own fault and becomes a row's error; `Transient` is the
store's, is tried again and never becomes an image's error; `Invalid` is the user's.

Parts are committed with `create`: a reader sees the whole object or none, and of several writers one wins. What it
took to get that from each store is said in local_store and object_store.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TypeVar

from dueby_api.errors import DueByError
from dueby_worker.storage.retry import Patience

Answer = TypeVar("Answer")


class Unavailable(DueByError):
    """One object can't be had, though its store answers; the text is a short sentence."""


class NotFound(Unavailable):
    """There is no such object."""


class Store(ABC):
    """Objects below a URI. Paths are relative to it, with `/` between names; `""` is the root itself."""

    uri: str
    """Absolute, without `/` at its end."""

    def __init__(self, uri: str, *, field: str, patience: Patience) -> None:
        self.uri = uri.rstrip("/")
        self.field = field
        self.patience = patience

    def read(self, path: str) -> bytes:
        """The whole object; NotFound, or another Unavailable."""
        return self._ask(lambda: self._read(path))

    def create(self, path: str, data: bytes) -> bool:
        """Write the object unless it is there; False if it is. All or nothing, durable, one winner."""
        return self._ask(lambda: self._create(path, data))

    def replace(self, path: str, data: bytes) -> None:
        """Write the object, over an older one if there is one. All or nothing, durable."""
        self._ask(lambda: self._replace(path, data))

    def exists(self, path: str) -> bool:
        """Whether the object (a folder is none) is there now."""
        return self._ask(lambda: self._exists(path))

    def list_names(self, folder: str = "") -> list[str]:
        """Names of the objects that lie directly in the folder, sorted; none where there is no such folder."""
        return sorted(self._ask(lambda: self._list(folder))[0])

    def list_folders(self, folder: str = "") -> list[str]:
        """Names of the folders that lie directly in the folder, sorted."""
        return sorted(self._ask(lambda: self._list(folder))[1])

    def delete(self, path: str) -> None:
        """Remove the object; no error where it is gone."""
        self._ask(lambda: self._delete(path))

    def sweep(self, folder: str = "") -> int:
        """Remove what killed writers left in the folder and no reader sees; how many that were."""
        return 0

    def read_once(self, path: str) -> bytes:
        """As `read`, for who has a patience of its own."""
        return self._read(path)

    def exists_once(self, path: str) -> bool:
        """As `exists`, for who has a patience of its own."""
        return self._exists(path)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        return self.patience.call(question, what=self.uri)

    def uri_of(self, path: str) -> str:
        """The object's absolute URI."""
        return f"{self.uri}/{path}"

    @abstractmethod
    def walk(self, folder: str = "") -> Iterator[str]:
        """All objects below the folder by their paths from there, in any order; Unavailable if it can't be listed."""

    @abstractmethod
    def is_folder(self, path: str) -> bool:
        """Whether anything can lie below the path."""

    @abstractmethod
    def blocks(self, path: str) -> Iterator[bytes]:
        """The object in pieces, for those that may be larger than memory; Unavailable."""

    @abstractmethod
    def _read(self, path: str) -> bytes: ...

    @abstractmethod
    def _create(self, path: str, data: bytes) -> bool: ...

    @abstractmethod
    def _replace(self, path: str, data: bytes) -> None: ...

    @abstractmethod
    def _exists(self, path: str) -> bool: ...

    @abstractmethod
    def _list(self, folder: str) -> tuple[list[str], list[str]]: ...

    @abstractmethod
    def _delete(self, path: str) -> None: ...
