"""Web servers: images are read, and folders are listed where the server makes a page of links of them."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import NoReturn

from dueby_api.errors import Invalid
from dueby_worker.index.globs import has_magic
from dueby_worker.storage.remote import Web
from dueby_worker.storage.store import NotFound, Store


class WebStore(Store):
    """A host, or a folder of it. Paths keep their percent escapes."""

    def walk(self, folder: str = "") -> Iterator[str]:
        """Down the links, a page at a time."""
        found = False
        for path in self._follow(f"{folder}/" if folder else ""):
            found = True
            yield path[len(folder) + 1 :] if folder else path
        if not found:
            raise NotFound("its page has no links to files, so the folder can't be listed; use a manifest instead")

    def is_folder(self, path: str) -> bool:
        """A web server doesn't say; what has no extension is taken for one."""
        name = path.rpartition("/")[2]
        return not has_magic(path) and "." not in name

    def blocks(self, path: str) -> Iterator[bytes]:
        """In one piece."""
        yield self._read(path)

    def _follow(self, folder: str) -> Iterator[str]:
        top = f"{self.uri}/{folder}"
        for link in self._ask(lambda: self._web.links(top)):
            # Links that sort the list, lead up or elsewhere, or to the page itself, are not what lies in the folder.
            name = link.removeprefix(top)
            if link == name or name.strip("/") in ("", ".", "..") or "/" in name[:-1] or "?" in name or "#" in name:
                continue
            if name.endswith("/"):
                yield from self._follow(folder + name)
            else:
                yield folder + name

    def _read(self, path: str) -> bytes:
        return self._web.get(self.uri_of(path))

    def _exists(self, path: str) -> bool:
        try:
            self._web.get(self.uri_of(path))
        except NotFound:
            return False
        return True

    def _create(self, path: str, data: bytes) -> bool:
        self._refuse()

    def _replace(self, path: str, data: bytes) -> None:
        self._refuse()

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        self._refuse()

    def _delete(self, path: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Invalid(self.field, f"{self.uri}: a web server can only be read from; use a folder, s3:// or gs://")

    @cached_property
    def _web(self) -> Web:
        return _web()


@lru_cache(maxsize=1)
def _web() -> Web:
    return Web()
