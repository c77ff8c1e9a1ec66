"""Web servers: images are read from them, and folders are listed if the server shows them as pages of links."""

from collections.abc import Iterator
from functools import cached_property, lru_cache

from dueby_worker.storage.remote import Web
from dueby_worker.storage.store import BLOCK_BYTES, NotFound, ObjectVersion, ReadOnlyStore, TooLarge, Unavailable
from dueby_worker.storage.uris import is_glob

# Folders within folders. A server that shows the same page for every path would be followed for ever.
_MAX_DEPTH = 64


class WebStore(ReadOnlyStore):
    """A host, or a folder on it. Paths keep their percent escapes."""

    def walk(self, folder: str = "") -> Iterator[str]:
        """Follow the links downwards, a page at a time."""
        found = False
        for path in self._follow(f"{folder}/" if folder else ""):
            found = True
            yield path[len(folder) + 1 :] if folder else path
        if not found:
            raise NotFound("its page has no links to files, so the folder can't be listed; use a manifest instead")

    def is_folder(self, path: str) -> bool:
        """Guess by the name, because a web server does not say: a name without an extension is a folder."""
        name = path.rpartition("/")[2]
        return not is_glob(path) and "." not in name

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the object in one piece."""
        yield self._read(path, max_bytes=None)

    def _follow(self, folder: str) -> Iterator[str]:
        top = f"{self.uri}/{folder}"
        if folder.count("/") > _MAX_DEPTH:
            words = f"its pages lead more than {_MAX_DEPTH} folders down"
            raise Unavailable(f"{words}, so it can't be listed; use a manifest instead")
        for link in self._ask(lambda: self._web.links(top)):
            name = link.removeprefix(top)
            # Links that sort the listing, lead up or elsewhere, or to the page itself, are not entries of the folder.
            if link == name or name.strip("/") in ("", ".", "..") or "/" in name[:-1] or "?" in name or "#" in name:
                continue
            if name.endswith("/"):
                yield from self._follow(folder + name)
            else:
                yield folder + name

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        return self._web.get(self.uri_of(path), max_bytes=max_bytes)

    def _version(self, path: str) -> ObjectVersion:
        return self._web.version(self.uri_of(path))

    def _read_range(self, path: str, offset: int, length: int) -> bytes:
        return self._web.get_range(self.uri_of(path), offset, length)

    def _exists(self, path: str) -> bool:
        # Its beginning is read, because what counts is whether it can be.
        try:
            self._web.get(self.uri_of(path), max_bytes=BLOCK_BYTES)
        except TooLarge:
            return True
        except NotFound:
            return False
        return True

    @cached_property
    def _web(self) -> Web:
        return _connect()


# One connection pool for all hosts of the process.
@lru_cache(maxsize=1)
def _connect() -> Web:
    return Web()
