"""Object stores and web servers through fsspec, which creates and lists objects and speaks HTTP.

Its libraries take every key and find credentials in all places that AWS and Google define; object_reader.py, which
reads faster, takes them from here. fsspec and the libraries behind it are imported only here.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import aiobotocore.session  # type: ignore[import-untyped]
import aiohttp
import botocore.session  # type: ignore[import-untyped]
import fsspec
import google.auth
from botocore.utils import parse_timestamp  # type: ignore[import-untyped]
from fsspec.asyn import sync
from google.auth.transport.requests import Request

from dueby_api.errors import DueByError, Transient
from dueby_worker.storage.retry import Throttled
from dueby_worker.storage.store import BLOCK_BYTES, NotFound, ObjectVersion, TooLarge, Unavailable, Unsupported

CONNECT_S, READ_S = 5, 60
_NOT_IMPLEMENTED, _TOO_MANY, _OVERLOADED = 501, 429, 503
# What stores call a refusal that means "fewer requests a second".
_SLOWER = {
    *("SlowDown", "SlowDownRead", "SlowDownWrite", "RequestLimitExceeded", "Throttling", "TooManyRequests"),
    "ServerBusy",  # Azure's
}
# HTTP statuses that say that the server has trouble or too many requests. A retry would not change any other answer.
_BUSY = {408, 409, 425, 429, *range(500, 600)} - {_NOT_IMPLEMENTED}
# Exceptions of botocore's that are raised before anything is asked.
_USERS_FAULT = {"NoCredentialsError", "PartialCredentialsError", "ParamValidationError"}
# Credentials are asked for again after so long. botocore renews its own ten minutes before they end, and obstore asks
# five minutes before it was told that they do.
_CREDENTIALS_LAST = timedelta(minutes=10)
_READ_ONLY = ("https://www.googleapis.com/auth/devstorage.read_only",)
# Packages whose exceptions are about a request; exceptions of other packages are bugs.
_LIBRARIES = {"botocore", "aiobotocore", "s3fs", "gcsfs", "google", "requests", "aiohttp", "fsspec"}


# Otherwise gcsfs asks by gRPC what kind of bucket it is, and where only HTTP gets out it waits a minute for the answer.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
# The largest image that is read, in this time, is 3 MB/s. A server that sends a byte a minute would never time out.
_IMAGE_S = 120.0
_PARTIAL, NO_SUCH_RANGE = 206, 416
_UNPACKED = {"Accept-Encoding": "identity"}
# Otherwise aiohttp passes over HTTPS_PROXY and NO_PROXY, which botocore takes by itself.
_PROXIED = {"trust_env": True}
# Otherwise `exists` gives stale answers after `ls`, and an instance made for another endpoint may be returned.
_UNCACHED: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}


@dataclass(frozen=True, kw_only=True)
class ListingPage:
    """A page of a listing, in the store's order."""

    keys: dict[str, str]
    """What says of the object of each key whether it was written again."""
    prefixes: list[str]
    """The folders, if the listing stops at a delimiter."""
    more: Any
    """What asks for the next page; None if this is the last one."""


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Where S3 is and who asks, from the environment variables that AWS defines.

    Each library finds the credentials by itself, in all the places that AWS defines. Here they only tell one access
    from another, as the key of a cache.
    """

    endpoint: str | None
    region: str | None
    variables: tuple[tuple[str, str], ...] = field(repr=False)
    """All of AWS's."""

    @classmethod
    def from_environment(cls) -> "S3Access":
        """Return the access that the environment describes now."""
        return cls(
            endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
            variables=tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_"))),
        )


def aws_credentials() -> Callable[[], dict[str, Any]] | None:
    """Return what gives AWS credentials as obstore takes them; None if there are none, as for public buckets.

    They are found where botocore finds them: environment, profiles, web identity, the instance's or pod's metadata.
    """
    with translate_failures():
        credentials = botocore.session.Session().get_credentials()
    if credentials is None:
        return None

    def give() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_LAST,
        }

    return give


def google_credentials() -> Callable[[], dict[str, Any]]:
    """Return what gives Google's application default credentials as obstore takes them."""
    with translate_failures():
        credentials, _ = google.auth.default(scopes=_READ_ONLY)

    def give() -> dict[str, Any]:
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
        expires = credentials.expiry
        return {"token": credentials.token, "expires_at": None if expires is None else expires.replace(tzinfo=UTC)}

    return give


# Makes a request for a page, and returns the page.
Ask = Callable[[Callable[[], ListingPage]], ListingPage]


def pages(get: Callable[..., ListingPage], ask: Ask) -> Iterator[ListingPage]:
    """Yield every page that `get` returns, which takes the `more` of the page before. `ask` makes the requests."""
    page = ask(partial(get, more=None))
    yield page
    while page.more is not None:
        page = ask(partial(get, more=page.more))
        yield page


class S3Writer:
    """Creates, lists and deletes objects in a bucket of S3. Failures are raised as DueBy's own errors."""

    def __init__(self, bucket: str, access: S3Access) -> None:
        self._bucket = bucket
        self._access = access
        self._session = aiobotocore.session.AioSession()
        # By default botocore parses each key's time stamp with dateutil, which is two thirds of the cost of listing.
        self._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
        self._files = self._connect()

    def some_bytes(self, key: str, start: int, end: int | None) -> bytes:
        """Return these bytes of the object, or its last ones if `start` is negative. Raise Unavailable if it can't."""
        with self._request() as files:
            return _some_bytes(files, f"{self._bucket}/{key}", start, end)

    def put(self, key: str, data: bytes, *, only_new: bool) -> None:
        """Write the object. Raise FileExistsError if `only_new` and it exists."""
        with self._request() as files:
            files.pipe_file(f"{self._bucket}/{key}", data, mode="create" if only_new else "overwrite")

    def delete(self, key: str) -> None:
        """Delete the object. It is no error if it is gone already."""
        with self._request() as files:
            files.call_s3("delete_object", Bucket=self._bucket, Key=key)

    def page(self, prefix: str, *, delimiter: str, most: int, more: str | None) -> ListingPage:
        """Return a page of the keys that begin with the prefix: the first, or the one that `more` asks for."""
        wanted = {"Bucket": self._bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": most}
        if more is not None:
            wanted["ContinuationToken"] = more
        with self._request() as files:
            answer = files.call_s3("list_objects_v2", **wanted)
        return ListingPage(
            keys={item["Key"]: item.get("ETag") or str(item["LastModified"]) for item in answer.get("Contents", ())},
            prefixes=[item["Prefix"] for item in answer.get("CommonPrefixes", ())],
            more=answer["NextContinuationToken"] if answer.get("IsTruncated") else None,
        )

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Give fsspec's file system for one request. Raise Transient if something refuses it that isn't S3.

        A gateway between S3 and us may answer 404 or 403 to everything while it has lost the server. Those who wait
        would keep alive, by asking, a connection to it, so the next request comes by new connections.
        """
        files = self._files
        try:
            with translate_failures():
                yield files
        except DueByError as failure:
            if is_by_s3(failure):
                raise
            if self._files is files:
                self._files = self._connect()
            if isinstance(failure, Unavailable) and not isinstance(failure, Unsupported):
                where = f"at {self._access.endpoint}" if self._access.endpoint else "for it"
                raise Transient(f"what answers {where} is no S3 server ({failure})") from failure
            raise

    def _connect(self) -> Any:
        """Return a file system with connections of its own, which are closed when nobody uses it any more."""
        # A private server has no host name for each bucket.
        addressing = {"s3": {"addressing_style": "path"}} if self._access.endpoint else {}
        # One attempt only: RetryPolicy does the retrying, with a warning each time.
        settings = {"retries": {"max_attempts": 1}, "connect_timeout": CONNECT_S, "read_timeout": READ_S, **addressing}
        files = fsspec.filesystem(
            "s3",
            session=self._session,
            endpoint_url=self._access.endpoint,
            client_kwargs={"region_name": self._access.region} if self._access.region else {},
            config_kwargs=settings,
            **_UNCACHED,
        )
        # s3fs tries five times by itself, which takes five minutes at a server that doesn't answer.
        files.retries = 1
        return files


def gcs_emulator() -> str | None:
    """Return the address of an emulator, from the variable that Google's own tools read; it needs no credentials."""
    return os.environ.get("STORAGE_EMULATOR_HOST") or None


class GcsWriter:
    """Creates, lists and deletes objects in a bucket of Google Cloud Storage, with the same methods as S3Writer."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        token = "anon" if gcs_emulator() else "google_default"
        self._files = fsspec.filesystem("gs", token=token, session_kwargs=_PROXIED, **_UNCACHED)

    def some_bytes(self, key: str, start: int, end: int | None) -> bytes:
        """Return these bytes of the object, or its last ones if `start` is negative. Raise Unavailable if it can't."""
        return _some_bytes(self._files, f"{self._bucket}/{key}", start, end)

    def put(self, key: str, data: bytes, *, only_new: bool) -> None:
        """Write the object. Raise FileExistsError if `only_new` and it exists."""
        with translate_failures():
            self._files.pipe_file(f"{self._bucket}/{key}", data, mode="create" if only_new else "overwrite")

    def delete(self, key: str) -> None:
        """Delete the object. Raise NotFound if it is gone already."""
        with translate_failures():
            self._files.call("DELETE", "b/{}/o/{}", self._bucket, key)

    def page(self, prefix: str, *, delimiter: str, most: int, more: str | None) -> ListingPage:
        """Return a page of the keys that begin with the prefix: the first, or the one that `more` asks for."""
        fields = "items(name,md5Hash,generation),prefixes,nextPageToken"
        wanted = {"prefix": prefix, "maxResults": most, "fields": fields}
        wanted |= {name: text for name, text in (("delimiter", delimiter), ("pageToken", more)) if text}
        with translate_failures():
            answer = self._files.call("GET", "b/{}/o", self._bucket, json_out=True, **wanted)
        return ListingPage(
            keys={item["name"]: item.get("md5Hash") or item.get("generation", "") for item in answer.get("items", ())},
            prefixes=list(answer.get("prefixes", ())),
            more=answer.get("nextPageToken") or None,
        )


class Web:
    """Reads over HTTP, and reads the pages of links that web servers make of folders."""

    def __init__(self, *, image_s: float = _IMAGE_S) -> None:
        """Take the most time that an image may take."""
        self._image_s = image_s
        self._files = fsspec.filesystem("http", client_kwargs={"timeout": _timeout(None), **_PROXIED}, **_UNCACHED)

    def get(self, url: str, *, max_bytes: int | None) -> bytes:
        """Return the whole body, unpacked if it was sent packed. Raise TooLarge once it has more bytes."""
        with translate_failures():
            data: bytes = sync(self._files.loop, self._get, url, max_bytes)
            return data

    def version(self, url: str) -> ObjectVersion:
        """Return what the server says of the body. Raise Unavailable if it doesn't say how long it is."""
        with translate_failures():
            found: ObjectVersion = sync(self._files.loop, self._version, url)
            return found

    def get_range(self, url: str, offset: int, length: int) -> bytes:
        """Return these bytes of the body. Raise Unavailable if the server can't send a part of it."""
        with translate_failures():
            data: bytes = sync(self._files.loop, self._get_range, url, offset, length)
            return data

    def links(self, url: str) -> list[str]:
        """Return the absolute links on the page."""
        with translate_failures():
            return [found["name"] for found in self._files.ls(url, detail=True)]

    async def _get(self, url: str, max_bytes: int | None) -> bytes:
        session = await self._files.set_session()
        # A list of images may be long; an image that trickles in is worth no more than this.
        limit = {} if max_bytes is None else {"timeout": _timeout(self._image_s)}
        async with session.get(self._files.encode_url(url), **limit) as answer:
            answer.raise_for_status()
            if max_bytes is not None and (answer.content_length or 0) > max_bytes:
                raise TooLarge(size=answer.content_length, max_bytes=max_bytes)
            blocks, held = [], 0
            # A server need not say how much it sends, nor tell the truth.
            async for block in answer.content.iter_chunked(BLOCK_BYTES):
                blocks.append(block)
                held += len(block)
                if max_bytes is not None and held > max_bytes:
                    raise TooLarge(size=None, max_bytes=max_bytes)
        return b"".join(blocks)

    async def _version(self, url: str) -> ObjectVersion:
        session = await self._files.set_session()
        # Packed, its length would be another.
        async with session.head(self._files.encode_url(url), allow_redirects=True, headers=_UNPACKED) as answer:
            answer.raise_for_status()
            if answer.content_length is None:
                raise Unavailable("its server doesn't say how long it is")
            return ObjectVersion(size=answer.content_length, etag=answer.headers.get("ETag", "").strip('"'))

    async def _get_range(self, url: str, offset: int, length: int) -> bytes:
        session = await self._files.set_session()
        wanted = {**_UNPACKED, "Range": f"bytes={offset}-{offset + length - 1}"}
        limit = _timeout(self._image_s)
        async with session.get(self._files.encode_url(url), headers=wanted, timeout=limit) as answer:
            answer.raise_for_status()
            if answer.status != _PARTIAL:
                raise Unavailable("its server sends no parts of files (it doesn't know the header Range)")
            data = b""
            async for block in answer.content.iter_chunked(BLOCK_BYTES):
                data += block
                # A server need not stop where it was asked to.
                if len(data) >= length:
                    break
        return data[:length]


def _timeout(total_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=READ_S)


def _some_bytes(files: Any, path: str, start: int, end: int | None) -> bytes:
    try:
        with translate_failures():
            # With a range, so that it is one request and its answer has a body that names the error.
            return bytes(files.cat_file(path, start=start, end=end))
    except Unavailable as failure:
        if status_of(failure) == NO_SUCH_RANGE:  # an empty object has no first byte
            return b""
        raise


def _parse_timestamp(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        stamp: datetime = parse_timestamp(text)
        return stamp


@contextmanager
def translate_failures() -> Iterator[None]:
    """Raise failures of requests as DueBy's own errors.

    FileExistsError passes, because it is an answer. So does any exception that is not about a request: it is a bug.
    """
    try:
        yield
    except FileExistsError:
        raise
    except Exception as error:
        if isinstance(error, OSError | TimeoutError) or type(error).__module__.partition(".")[0] in _LIBRARIES:
            raise _failure_of(error) from error
        raise


def is_by_s3(failure: BaseException) -> bool:
    """Return whether nothing but S3 has answered, which names its errors: of others botocore takes the number."""
    response = getattr(failure, "response", None)
    if isinstance(response, dict):
        return not str(response.get("Error", {}).get("Code", "")).isdigit()
    return failure.__cause__ is None or is_by_s3(failure.__cause__)


def _failure_of(error: Exception) -> DueByError:
    """Return the failure as the object's or the user's fault, or as the store's, which is worth a retry."""
    words = _words(error)
    if isinstance(error, FileNotFoundError):
        return NotFound(words)
    if _is_the_users(error):
        return Unavailable(words)
    code, retry_after_s = _refusal_of(error)
    return failure_of_status(status_of(error), words, code=code, retry_after_s=retry_after_s)


def failure_of_status(
    status: int | None, words: str, *, code: str = "", retry_after_s: float | None = None
) -> DueByError:
    """Return what an answer of this HTTP status means, with the code by which the store names its error."""
    if status in (404, 410):
        return NotFound(words)
    if status == _NOT_IMPLEMENTED:
        return Unsupported(words)
    if status == _TOO_MANY or code in _SLOWER or (status == _OVERLOADED and retry_after_s is not None):
        return Throttled(words, retry_after_s=retry_after_s)
    if status is not None and 400 <= status < 500 and status not in _BUSY:
        return Unavailable(words)
    return Transient(words)


def _refusal_of(error: BaseException) -> tuple[str, float | None]:
    """Return the code by which a store names its error, and after how many seconds it wants to be asked again."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(response.get("Error", {}).get("Code", "")), _seconds_in(headers.get("retry-after"))
    headers = getattr(error, "headers", None)
    if headers is not None and "Retry-After" in headers:
        return "", _seconds_in(headers["Retry-After"])
    return _refusal_of(error.__cause__) if error.__cause__ is not None else ("", None)


def _seconds_in(retry_after: Any) -> float | None:
    """Return the seconds of a header Retry-After, which may be a date instead; None if it is neither."""
    text = str(retry_after or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _is_the_users(error: Exception) -> bool:
    return isinstance(error, PermissionError) or type(error).__name__ in _USERS_FAULT


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in the error of botocore, aiohttp or gcsfs, or in the error that caused it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status
    return status_of(error.__cause__) if error.__cause__ is not None else None


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
