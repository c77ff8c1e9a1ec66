"""Reads objects of S3, Google Cloud Storage and Azure through obstore: one request for each, without its size first.

What is asked is always a GET, since an answer without a body can't name its error: that there is no such object is
believed only if S3 or Azure says so by name. A gateway that has lost its server answers 404 to everything, and a
connection to it stays open and in use, so whoever meets one asks again by new connections.

Credentials are found by botocore and google-auth (remote.py), as for listing and writing, and by obstore for Azure,
where it lists and writes, too.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.fsspec import FsspecStore
from obstore.store import AzureStore, GCSStore, S3Store
from pyarrow import fs

from dueby_api.errors import DueByError, Transient, first_line
from dueby_worker.storage.remote import (
    CONNECT_S,
    NO_SUCH_RANGE,
    READ_S,
    ListingPage,
    S3Access,
    aws_credentials,
    failure_of_status,
    gcs_emulator,
    google_credentials,
)
from dueby_worker.storage.store import BLOCK_BYTES, NotFound, ObjectVersion, TooLarge, Unavailable, Unsupported

# A server that sends a byte a minute would never time out.
_TOTAL_S = 600
# What obstore says of an answer that isn't the object: its status and its body.
_STATUS = re.compile(r"non-2xx status code: (\d{3})[^:\n]*: ?(.*?)(?:\n\nDebug source:|\Z)", re.DOTALL)
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]+)")
# obstore takes no key with an empty name in it, and drops a / at either end.
_ODD_KEY = re.compile(r"//|^/|/$|(?:^|/)\.\.?(?:/|$)|[\x00-\x1f\x7f]")
# Objects of many images whose version is remembered: as many tars and Parquet files as are read side by side.
_MAX_VERSIONS = 64
_TWO_BYTES = 2
# Of an object that Google unpacks on the way, for one, whose length it doesn't know.
_HEADER_MISSING = "Header missing from response"
_NOT_PARTIAL = "Received non-partial response when range requested"
# Of a server that answers with no bytes, instead of a 416, to who asks for those behind the last one.
_BEHIND_END = "Wanted range starting at"
# How pyarrow words errors that are the fault of one object. Any other error may be the store's.
_OBJECTS_FAULT = re.compile(
    r"AWS Error (ACCESS_DENIED|NO_SUCH_KEY|RESOURCE_NOT_FOUND|INVALID_OBJECT_STATE)|PERMISSION_DENIED|NOT_FOUND"
)
# Servers that name each error of theirs, by scheme: who answers without a name is somebody else.
_SERVERS = {"s3": "S3 server", "az": "server of Azure's"}
# How Azure says that there is an object already, whatever else is in the way of writing it.
_EXISTS = {"BlobAlreadyExists", "ConditionNotMet"}
_NO_CONTAINER = "ContainerNotFound"
_NO_ACCOUNT = "Account must be specified"
_NOT_DELETED = re.compile(r"request failed for key .*?: (.*) \(code: (\d{3})\)")
_TOKEN_REQUEST = "Error performing token request"
_DESCRIPTION = re.compile(r'"error_description":\s*"([^"\\]+)')
# What Azure's machines ask for a token who have no other credentials.
_IDENTITY_SERVICE = "http://169.254.169.254/"


class _Client(Protocol):
    """What obstore takes as a store."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a request for an object, or for a range of it, gave."""

    data: bytes
    version: ObjectVersion
    """Of the whole object."""


def is_odd(key: str) -> bool:
    """Return whether obstore would take the key for another one, or not at all."""
    return _ODD_KEY.search(key) is not None


class ObjectReader:
    """Reads the objects of one bucket. Thread-safe. Failures are raised as DueBy's own errors, without retries.

    Unsupported is raised of an answer that lacks a header without which obstore takes none.
    """

    def __init__(self, scheme: str, bucket: str) -> None:
        """Take `s3`, `gs` or `az`, and the bucket's name."""
        self._server = _SERVERS.get(scheme)
        self._bucket = bucket
        self._connect: Callable[[], _Client] = partial({"s3": _s3, "gs": _gcs, "az": _azure}[scheme], bucket)
        self._lock = threading.Lock()
        self._client: _Client | None = None
        self._versions: OrderedDict[str, ObjectVersion] = OrderedDict()

    def whole(self, key: str, *, max_bytes: int | None) -> bytes:
        """Return the object. Raise TooLarge, once its size is known and before its content comes, if it has more."""
        return self._get(key, None, max_bytes=max_bytes).data

    def range(self, key: str, offset: int, length: int) -> bytes:
        """Return these bytes, fewer where the object ends.

        Raise Transient if the object is no longer what it was when `version` asked, which will ask again.
        """
        if not length:
            return b""
        part = self._get(key, (offset, offset + length))
        with self._lock:
            version = self._versions.get(key)
        # An empty part is what lies beyond the end, and says nothing of the object.
        if version is not None and part.data and version != part.version:
            self.forget(key)
            raise Transient("it was written again while it was read")
        return part.data

    def end(self, key: str, length: int) -> bytes:
        """Return the last bytes of the object, or all if it has fewer."""
        return self._get(key, {"suffix": length}).data if length else b""

    def version(self, key: str) -> ObjectVersion:
        """Return the object's version, which is asked for once until `forget`."""
        with self._lock:
            version = self._versions.get(key)
        if version is None:
            version = self._first_bytes(key).version
            with self._lock:
                self._versions[key] = version
                if len(self._versions) > _MAX_VERSIONS:
                    self._versions.popitem(last=False)
        return version

    def exists(self, key: str) -> bool:
        """Return whether the object is there now."""
        try:
            self._first_bytes(key)
        except NotFound:
            return False
        return True

    def forget(self, key: str) -> None:
        """Ask for the object's version again when it is next wanted."""
        with self._lock:
            self._versions.pop(key, None)

    def _first_bytes(self, key: str) -> _Part:
        part = self._get(key, (0, _TWO_BYTES))
        # An empty object has no first byte, and its version comes with the whole of it.
        return part if part.data else self._get(key, None)

    def _get(self, key: str, wanted: Any, *, max_bytes: int | None = None) -> _Part:
        client = self._connected()
        try:
            answer = obstore.get(client, key, options={} if wanted is None else {"range": wanted})  # type: ignore[arg-type]
            meta = answer.meta
            if max_bytes is not None and meta["size"] > max_bytes:
                raise TooLarge(size=meta["size"], max_bytes=max_bytes)
            version = ObjectVersion(size=meta["size"], etag=(meta["e_tag"] or "").strip('"'))
            return _Part(data=bytes(answer.bytes()), version=version)
        except (BaseError, OSError) as error:
            if wanted is not None and _NOT_PARTIAL in str(error):
                return self._cut_here(key, wanted)
            refusal = _STATUS.search(str(error))
            is_behind = _BEHIND_END in str(error) or (refusal is not None and int(refusal[1]) == NO_SUCH_RANGE)
            if wanted is not None and is_behind:
                return _Part(data=b"", version=ObjectVersion(size=0))
            failure = self._failure(client, error)
        if type(failure) is NotFound and _NO_CONTAINER not in str(failure):
            raise NotFound("there is no such object")
        # S3 answers "access denied" for a missing object too if the user may not list the bucket.
        if type(failure) is Unavailable:
            raise Unavailable(f"permission denied, or there is no such object ({failure})")
        raise failure

    def _cut_here(self, key: str, wanted: Any) -> _Part:
        """Return the range of an object that came as a whole, as an empty one does for its last bytes."""
        begin, end = (-wanted["suffix"], None) if isinstance(wanted, dict) else wanted
        try:
            read = self._get(key, None, max_bytes=BLOCK_BYTES)
        except TooLarge as error:
            raise Unavailable("its server sends no parts of objects") from error
        return _Part(data=read.data[begin:end], version=read.version)

    def _connected(self) -> _Client:
        self._client = client = self._client or self._connect()
        return client

    def _failure(self, client: _Client, error: Exception) -> DueByError:
        """Return what obstore's error means."""
        text, answer = str(error), _STATUS.search(str(error))
        if _TOKEN_REQUEST in text:
            return _token_failure(text, answer)
        if answer is None and _HEADER_MISSING in text:
            return Unsupported(first_line(error))
        if isinstance(error, InvalidPathError):
            return Unavailable(f"{first_line(error)}; such names aren't supported here")
        if answer is None:
            # The connection failed or broke off, or the credentials can't be had.
            return Transient(first_line(error))
        status, code = int(answer[1]), _code_of(error)
        message = _MESSAGE.search(answer[2])
        words = f"{code}: {message[1].rstrip('.')}" if code and message else code or f"status {status}"
        failure = failure_of_status(status, words, code=code)
        if self._server is not None and not code:
            # By asking, those who wait would keep a connection alive that leads to a gateway.
            with self._lock:
                if self._client is client:
                    self._client = None
            if isinstance(failure, Unavailable):
                return Transient(f"what answers for {self._bucket} is no {self._server} ({words})")
        return failure


class AzureContainer(ObjectReader):
    """Also creates, lists and deletes objects, in a container of Azure Blob Storage, with the methods of S3Writer."""

    def __init__(self, container: str) -> None:
        super().__init__("az", container)

    def end(self, key: str, length: int) -> bytes:
        """Return the last bytes of the object, or all if it has fewer. Azure is asked how many it has before."""
        return self.range(key, max(0, self._first_bytes(key).version.size - length), length)

    def some_bytes(self, key: str, start: int, end: int | None) -> bytes:
        """Return these bytes of the object. Raise Unavailable if it can't be read."""
        return self._get(_plain(key), (start, end) if end else None).data

    def put(self, key: str, data: bytes, *, only_new: bool) -> None:
        """Write the object. Raise FileExistsError if `only_new` and it exists."""
        client, mode = self._connected(), "create" if only_new else "overwrite"
        try:
            obstore.put(client, _plain(key), data, mode=mode, use_multipart=False)  # type: ignore[arg-type]
        except (BaseError, OSError) as error:
            # obstore takes any conflict for this, such as that the container is being deleted.
            if only_new and _code_of(error) in _EXISTS:
                raise FileExistsError(key) from error
            raise self._failure(client, error) from error

    def delete(self, key: str) -> None:
        """Delete the object. Raise NotFound if it is gone already."""
        client = self._connected()
        try:
            obstore.delete(client, _plain(key))  # type: ignore[arg-type]
        except (BaseError, OSError) as error:
            refusal = _NOT_DELETED.search(str(error))
            if refusal is not None:
                raise failure_of_status(int(refusal[2]), refusal[1]) from error
            raise self._failure(client, error) from error

    def page(self, prefix: str, *, delimiter: str, most: int, more: Any) -> ListingPage:
        """Return a page of the keys that begin with the prefix, which is empty or ends with a /."""
        client, folder = self._connected(), _plain(prefix[:-1])
        listing = more or _Listing(lambda: obstore.list(self._connected(), folder, chunk_size=most))  # type: ignore[call-overload]
        try:
            if not delimiter:
                keys = listing.next_keys()
                return ListingPage(keys=keys, prefixes=[], more=listing if keys else None)
            names = obstore.list_with_delimiter(client, folder)  # type: ignore[call-overload]
        except (BaseError, OSError) as error:
            raise self._failure(client, error) from error
        prefixes = [f"{each}/" for each in names["common_prefixes"]]
        return ListingPage(keys=_keys(names["objects"]), prefixes=prefixes, more=None)


class _Listing:
    """A listing that can be gone on with after it failed: it begins again, and skips what it gave before."""

    def __init__(self, begin: Callable[[], Iterator[Sequence[Any]]]) -> None:
        self._begin = begin
        self._chunks: Iterator[dict[str, str]] | None = None
        self._last = ""

    def next_keys(self) -> dict[str, str]:
        """Return some more keys, with what says of each whether its object was written again; none at the end."""
        try:
            self._chunks = self._chunks or self._behind(self._last)
            keys = next(self._chunks, {})
        except BaseException:
            # Asked again, a listing that failed would say that it is at its end.
            self._chunks = None
            raise
        self._last = next(reversed(keys), self._last)
        return keys

    def _behind(self, last: str) -> Iterator[dict[str, str]]:
        is_behind = not last
        for chunk in self._begin():
            keys = _keys(chunk)
            if not is_behind and last in keys:
                is_behind = True
                names = list(keys)
                keys = {name: keys[name] for name in names[names.index(last) + 1 :]}
            if is_behind and keys:
                yield keys
        if not is_behind:
            raise Transient(f"{last} was deleted while it was listed")


def _keys(objects: Sequence[Any]) -> dict[str, str]:
    return {each["path"]: each["e_tag"] or str(each["last_modified"]) for each in objects}


def _plain(key: str) -> str:
    if is_odd(key):
        raise Unavailable("its name has an empty part, which isn't supported on Azure")
    return key


def _code_of(error: Exception) -> str:
    answer = _STATUS.search(str(error))
    code = _CODE.search(answer[2]) if answer else None
    return code[1] if code else ""


def _token_failure(text: str, answer: re.Match[str] | None) -> DueByError:
    """Return what it means that Azure gave no token for its storage, or that nothing was there that would."""
    if answer is None and _IDENTITY_SERVICE in text:
        return Unavailable("no credentials are set, and this machine has no identity of Azure's")
    description = _DESCRIPTION.search(text)
    words = f"no token was given for it ({description[1] if description else text.splitlines()[0]})"
    failure = failure_of_status(int(answer[1]) if answer else None, words)
    return Unavailable(words) if isinstance(failure, Unavailable) else failure


def _options() -> dict[str, Any]:
    options: dict[str, Any] = {
        # A private server may have no certificate. Whether it is asked by http, its address says.
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "read_timeout": timedelta(seconds=READ_S),
        "timeout": timedelta(seconds=_TOTAL_S),
    }
    # Where other libraries are shown authorities of one's own; these are added to the machine's.
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("AWS_CA_BUNDLE")
    if bundle:
        options["root_certificate"] = Path(bundle).read_bytes()
    return options


# RetryPolicy does the retrying, with a warning each time.
_ONCE: Any = {"max_retries": 0}


def _s3(bucket: str) -> _Client:
    access = S3Access.from_environment()
    # A private server has no regions, but the signature needs one.
    region = access.region or ("us-east-1" if access.endpoint else region_of(bucket))
    provider = _aws_credentials(access)
    where: dict[str, Any] = {"endpoint": access.endpoint} if access.endpoint else {}
    return S3Store(
        bucket,
        region=region,
        # A private server has no host name for each bucket.
        virtual_hosted_style_request=access.endpoint is None and "." not in bucket,
        credential_provider=provider,
        skip_signature=provider is None,
        client_options=_options(),  # type: ignore[arg-type]
        retry_config=_ONCE,
        **where,
    )


@lru_cache(maxsize=64)
def region_of(bucket: str) -> str:
    """Return the region of a bucket of AWS, which is asked."""
    try:
        region: str = fs.resolve_s3_region(bucket)
    except OSError as error:
        raise _region_failed(error) from error
    return region


def _region_failed(error: OSError) -> DueByError:
    """Return what an error of pyarrow's means."""
    words = first_line(error)
    if isinstance(error, FileNotFoundError):
        return NotFound("there is no such object")
    if isinstance(error, PermissionError) or _OBJECTS_FAULT.search(words):
        # S3 answers "access denied" for a missing object too if the user may not list the bucket.
        return Unavailable(f"permission denied, or there is no such object ({words})")
    return Transient(words)


@lru_cache(maxsize=8)
def _aws_credentials(access: S3Access) -> Any:
    return aws_credentials()


def _gcs(bucket: str) -> _Client:
    emulator = gcs_emulator()
    if emulator is None:
        where: dict[str, Any] = {"credential_provider": google_credentials()}
    else:
        base = emulator if "://" in emulator else f"http://{emulator}"
        where = {"config": {"base_url": base.rstrip("/"), "skip_signature": True}}
    return GCSStore(bucket, client_options=_options(), retry_config=_ONCE, **where)  # type: ignore[arg-type]


def _azure(container: str) -> _Client:
    try:
        return AzureStore(container, client_options=_options(), retry_config=_ONCE)  # type: ignore[arg-type]
    except BaseError as error:
        if _NO_ACCOUNT in str(error):
            raise Unavailable("no storage account is named; set AZURE_STORAGE_ACCOUNT_NAME") from error
        raise Unavailable(first_line(error)) from error


def azure_files() -> FsspecStore:
    """Return Azure Blob Storage as fsspec's file system, for readers without a RetryPolicy of their own."""
    # Otherwise one that was made for another account may be returned.
    options: Any = {"client_options": _options(), "skip_instance_cache": True}
    files: FsspecStore = FsspecStore("az", **options)
    return files
