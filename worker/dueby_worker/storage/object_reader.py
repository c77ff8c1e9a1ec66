"""Reads objects of S3 and Google Cloud Storage through obstore: one request for each, whose size isn't asked for first.

What is asked is always a GET, since an answer without a body can't name its error: that there is no such object is
believed only if S3 says so by name. A gateway that has lost its server answers 404 to everything, and a connection to
it stays open and in use, so whoever meets one asks again by new connections.

Credentials are found by botocore and google-auth (remote.py), as for listing and writing.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import GCSStore, S3Store

from dueby_api.errors import DueByError, Transient, first_line
from dueby_worker.storage.arrow_readers import region_of
from dueby_worker.storage.remote import (
    CONNECT_S,
    NO_SUCH_RANGE,
    READ_S,
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
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
# obstore takes no key with an empty name in it, and drops a / at either end.
_ODD_KEY = re.compile(r"//|^/|/$|(?:^|/)\.\.?(?:/|$)|[\x00-\x1f\x7f]")
# Objects of many images whose version is remembered: as many tars and Parquet files as are read side by side.
_MAX_VERSIONS = 64
_TWO_BYTES = 2
# Of an object that Google unpacks on the way, for one, whose length it doesn't know.
_HEADER_MISSING = "Header missing from response"
_NOT_PARTIAL = "Received non-partial response when range requested"


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
        """Take `s3` or `gs`, and the bucket's name."""
        self._is_s3 = scheme == "s3"
        self._bucket = bucket
        self._connect: Callable[[], _Client] = partial(_s3, bucket) if self._is_s3 else partial(_gcs, bucket)
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
        client = self._client = self._client or self._connect()
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
            if refusal is not None and int(refusal[1]) == NO_SUCH_RANGE and wanted is not None:
                return _Part(data=b"", version=ObjectVersion(size=0))
            failure = self._failure(client, error, refusal)
        raise failure

    def _cut_here(self, key: str, wanted: Any) -> _Part:
        """Return the range of an object that came as a whole, as an empty one does for its last bytes."""
        begin, end = (-wanted["suffix"], None) if isinstance(wanted, dict) else wanted
        try:
            read = self._get(key, None, max_bytes=BLOCK_BYTES)
        except TooLarge as error:
            raise Unavailable("its server sends no parts of objects") from error
        return _Part(data=read.data[begin:end], version=read.version)

    def _failure(self, client: _Client, error: Exception, answer: re.Match[str] | None) -> DueByError:
        """Return what obstore's error means."""
        if answer is None and _HEADER_MISSING in str(error):
            return Unsupported(first_line(error))
        if answer is None:
            # The connection failed or broke off, or the credentials can't be had.
            return Transient(first_line(error))
        status, code = int(answer[1]), _CODE.search(answer[2])
        message = _MESSAGE.search(answer[2])
        words = f"{code[1]}: {message[1]}" if code and message else (code[1] if code else f"status {status}")
        failure = failure_of_status(status, words, code=code[1] if code else "")
        if self._is_s3 and code is None:
            # By asking, those who wait would keep a connection alive that leads to a gateway.
            with self._lock:
                if self._client is client:
                    self._client = None
            if isinstance(failure, Unavailable):
                return Transient(f"what answers for {self._bucket} is no S3 server ({words})")
        if isinstance(failure, NotFound):
            return NotFound("there is no such object")
        # S3 answers "access denied" for a missing object too if the user may not list the bucket.
        if type(failure) is Unavailable:
            return Unavailable(f"permission denied, or there is no such object ({words})")
        return failure


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
