"""S3, Google Cloud Storage and Azure Blob Storage.

obstore reads (object_reader.py), because it is the cheapest and asks once: 0.3 ms of core-time for a photo of 77 KB
without the interpreter's lock; pyarrow takes 0.7 ms and two requests, boto3 1.2 ms, s3fs 3.2 ms. fsspec creates, with
If-None-Match (S3) or ifGenerationMatch=0 (Google): of several writers one wins, and one that is killed leaves nothing
or the whole object. A writer that never received the answer and asks again gets FileExistsError, which therefore counts
as done.

obstore takes no key with an empty name in it, such as `a//b.jpg`, though all of these stores do. fsspec reads those. It
also reads once after a store has asked for fewer requests, because it knows for how long, which obstore doesn't say.

On Azure obstore does all of this, and objects of such names are refused.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache, partial

from dueby_api.errors import Invalid, Transient
from dueby_worker.storage.object_reader import AzureContainer, ObjectReader, is_odd
from dueby_worker.storage.pages import pages_below
from dueby_worker.storage.remote import Ask, GcsWriter, ListingPage, S3Access, S3Writer, pages
from dueby_worker.storage.retry import RetryPolicy, Throttled
from dueby_worker.storage.store import (
    BLOCK_BYTES,
    CREATE_ONLY_ADVICE,
    Answer,
    NotFound,
    NotPermitted,
    ObjectVersion,
    Store,
    TooLarge,
    Unavailable,
    Unsupported,
)
from dueby_worker.storage.uris import split


class ObjectStore(Store):
    """A bucket (Azure: a container), or the part of it below a prefix."""

    def __init__(self, uri: str, *, field: str, retry: RetryPolicy) -> None:
        super().__init__(uri, field=field, retry=retry)
        root, prefix = split(self.uri)
        self._scheme, _, self._bucket = root.partition("://")
        self._prefix = f"{prefix}/" if prefix else ""
        self._was_throttled = False

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield all keys below the folder, in no particular order: folders are listed side by side."""
        return (path for path, _ in self._walk(folder, with_versions=False))

    def walk_versions(self, folder: str = "") -> Iterator[tuple[str, str]]:
        """Yield all keys below the folder, with their ETags or what else the store has."""
        return self._walk(folder, with_versions=True)

    def _walk(self, folder: str, *, with_versions: bool) -> Iterator[tuple[str, str]]:
        prefix = self._key(f"{folder}/" if folder else "")
        found = False

        def get(below: str, delimiter: str, more: str | None, stop: threading.Event) -> ListingPage:
            # Each page is asked for again by itself: one of many fails, and the listing can't begin again each time.
            page = partial(self._writer.page, below, delimiter=delimiter, most=1000, more=more)
            ask = partial(self._ask, page, cancelled=stop)
            return self._page_once(ask, [self._bucket, below, delimiter, more, with_versions])

        # Of what is directly in a folder, obstore gives no page but all.
        has_pages = not isinstance(self._writer, AzureContainer)
        listed = pages_below(prefix, get) if has_pages else self._pages(prefix, delimiter="", ask=self._ask)
        for page in listed:
            for key, version in page.keys.items():
                found = True
                # Web consoles create objects named folder/ to show empty folders.
                if not key.endswith("/"):
                    yield key[len(prefix) :], version
        if not found:
            raise NotFound("there are no objects below it")

    def _page_once(self, ask: Callable[[], ListingPage], asked: list[str | bool | None]) -> ListingPage:
        """Return the page that is kept, or ask for it and keep it; `asked` says which one it is.

        It is kept for the same job alone: others want what is in the bucket when they begin.
        """
        answers = self.answers
        if answers is None or answers.owner is None:
            return ask()
        *_, more, with_versions = asked
        question = json.dumps(["page", answers.owner, self._scheme, *asked])
        if (answer := answers.find(question)) is not None:
            keys, prefixes, following = json.loads(answer)
            return ListingPage(keys=keys, prefixes=prefixes, more=following)
        try:
            page = ask()
        except Unavailable as error:
            if more is not None and answers.forget():
                # The store no longer knows how far an earlier process had come.
                raise Transient(f"the listing begins again, since it can't go on where it was: {error}") from error
            raise
        keys = page.keys if with_versions else dict.fromkeys(page.keys, "")
        answers.keep(question, json.dumps([keys, page.prefixes, page.more]))
        return page

    def is_folder(self, path: str) -> bool:
        """Return whether any key begins with the path and a `/`."""
        if not path:
            return True
        prefix = self._key(f"{path.rstrip('/')}/")
        return bool(next(self._pages(prefix, delimiter="", most=1, ask=self._ask)).keys)

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield the object in blocks; in one, if only fsspec takes its key."""
        if is_odd(self._key(path)):
            yield self._read(path, max_bytes=None)
            return
        size = self._ask(lambda: self._version(path)).size
        # Each block is asked for again by itself, as a page of a listing is.
        for offset in range(0, size, BLOCK_BYTES):
            yield self._ask(partial(self.read_block_once, path, offset, min(BLOCK_BYTES, size - offset)))

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        key = self._key(path)
        if not self._was_throttled and not is_odd(key):
            # An answer without a length or an ETag is one for fsspec alone.
            with suppress(Unsupported):
                return self._noting(lambda: self._reader.whole(key, max_bytes=max_bytes))
        end = None if max_bytes is None else max_bytes + 1
        data = self._noting(lambda: self._writer.some_bytes(key, 0, end))
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(size=None, max_bytes=max_bytes)
        return data

    def _read_end(self, path: str, length: int) -> bytes:
        key = self._key(path)
        if is_odd(key):
            return self._writer.some_bytes(key, -length, None)[-length:]
        return self._reader.end(key, length)

    def look_again(self, path: str) -> None:
        """Ask for the object's version again when it is next wanted: what is there may be another one."""
        self._reader.forget(self._key(path))

    def _version(self, path: str) -> ObjectVersion:
        return self._noting(lambda: self._reader.version(self._plain_key(path)))

    def _read_range(self, path: str, offset: int, length: int) -> bytes:
        return self._noting(lambda: self._reader.range(self._plain_key(path), offset, length))

    def _exists(self, path: str) -> bool:
        key = self._key(path)
        if not is_odd(key):
            return self._reader.exists(key)
        try:
            self._writer.some_bytes(key, 0, 1)
        except Unavailable:
            return False
        return True

    def _noting(self, read: Callable[[], Answer]) -> Answer:
        """Return what `read` does. Note whether the store wants fewer requests without saying until when."""
        try:
            answer = read()
        except Throttled as refusal:
            self._was_throttled = refusal.retry_after_s is None and not self._was_throttled
            raise
        self._was_throttled = False
        return answer

    def _create(self, path: str, data: bytes) -> bool:
        try:
            self._put(path, data, only_new=True)
        except FileExistsError:
            return False
        return True

    def _replace(self, path: str, data: bytes) -> None:
        self._put(path, data, only_new=False)

    def _put(self, path: str, data: bytes, *, only_new: bool) -> None:
        try:
            self._writer.put(self._key(path), data, only_new=only_new)
        except Unsupported as error:
            raise Invalid(self.field, f"{self.uri_of(path)} can't be written: {error}. {CREATE_ONLY_ADVICE}") from error
        except Unavailable as error:
            raise NotPermitted(f"{self.uri_of(path)} can't be written: {error}") from error

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        prefix = self._key(f"{folder}/" if folder else "")
        try:
            # Not so here: `read_names` asks for the whole again.
            for page in self._pages(prefix, delimiter="/", ask=lambda request: request()):
                yield from ((key[len(prefix) :], False) for key in page.keys if key != prefix)
                yield from ((below[len(prefix) : -1], True) for below in page.prefixes)
        except Unavailable as error:
            raise NotPermitted(f"{self.uri} can't be listed: {error}") from error

    def _pages(self, prefix: str, *, delimiter: str, ask: Ask, most: int = 1000) -> Iterator[ListingPage]:
        """Yield pages of at most so many keys that begin with the prefix. `ask` makes the request for each."""
        return pages(partial(self._writer.page, prefix, delimiter=delimiter, most=most), ask)

    def _delete(self, path: str) -> None:
        try:
            self._writer.delete(self._key(path))
        except NotFound:
            return
        except Unavailable as error:
            raise NotPermitted(f"{self.uri_of(path)} can't be deleted: {error}") from error

    def _key(self, path: str) -> str:
        return self._prefix + path

    def _plain_key(self, path: str) -> str:
        key = self._key(path)
        if is_odd(key):
            raise Unavailable("its key has an empty name between two /, and of such an object no ranges are read")
        return key

    @cached_property
    def _reader(self) -> ObjectReader:
        return AzureContainer(self._bucket) if self._scheme == "az" else ObjectReader(self._scheme, self._bucket)

    @cached_property
    def _writer(self) -> S3Writer | GcsWriter | AzureContainer:
        if isinstance(self._reader, AzureContainer):
            return self._reader
        return (
            _s3_writer(self._bucket, S3Access.from_environment()) if self._scheme == "s3" else _gcs_writer(self._bucket)
        )


@lru_cache(maxsize=8)
def _s3_writer(bucket: str, access: S3Access) -> S3Writer:
    return S3Writer(bucket, access)


@lru_cache(maxsize=8)
def _gcs_writer(bucket: str) -> GcsWriter:
    return GcsWriter(bucket)
