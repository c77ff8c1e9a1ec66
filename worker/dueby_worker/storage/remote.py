"""Object stores and web servers by fsspec: what pyarrow.fs can't do for us, and what failures there mean.

fsspec's part is to create and list objects (pyarrow has no create-only writes and collects a listing of any length in
memory) and to speak HTTP. fsspec and what stands behind it is imported here and nowhere else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiobotocore.session  # type: ignore[import-untyped]
import aiohttp
import fsspec
from botocore.exceptions import (  # type: ignore[import-untyped]
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.utils import parse_timestamp  # type: ignore[import-untyped]

from dueby_api.errors import DueByError, Transient
from dueby_worker.storage.store import NotFound, Unavailable

CONNECT_S, READ_S = 5, 60
# The server's own trouble, or too many requests; whatever else it answers will be answered again.
_BUSY = {408, 409, 425, 429, *range(500, 600)}
_USERS_FAULT = (PermissionError, NoCredentialsError, PartialCredentialsError, ParamValidationError)
# Whose errors are about a request.
_LIBRARIES = {"botocore", "aiobotocore", "s3fs", "gcsfs", "google", "requests", "aiohttp", "fsspec"}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of a listing: keys, and common prefixes where it stops at `/`. In order where the store keeps one."""

    keys: list[str]
    prefixes: list[str]


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """Where S3 is and who asks, from the environment as AWS names it. Each library finds the credentials by itself, in
    all the places that AWS says; here they only tell one access from another."""

    endpoint: str | None
    region: str | None
    credentials: tuple[str | None, ...] = field(repr=False)

    @classmethod
    def from_environment(cls) -> "S3Access":
        """Of the moment."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
        return cls(
            endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
            credentials=tuple(os.environ.get(name) for name in names),
        )


class S3Writer:
    """Creating, listing and deleting on S3. What fails is said in our own errors."""

    def __init__(self, access: S3Access) -> None:
        session = aiobotocore.session.AioSession()
        # botocore parses each key's time stamp with dateutil, two thirds of the cost of listing.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
        # A server of one's own has no name for each bucket.
        addressing = {"s3": {"addressing_style": "path"}} if access.endpoint else {}
        # Our own patience does the retrying, with a warning each time.
        settings = {"retries": {"max_attempts": 1}, "connect_timeout": CONNECT_S, "read_timeout": READ_S, **addressing}
        self._files = fsspec.filesystem(
            "s3",
            session=session,
            endpoint_url=access.endpoint,
            client_kwargs={"region_name": access.region} if access.region else {},
            config_kwargs=settings,
            use_listings_cache=False,  # `exists` is stale after `ls` otherwise
            skip_instance_cache=True,  # one made for another endpoint must not come back
        )

    def put(self, bucket: str, key: str, data: bytes, *, only_new: bool) -> None:
        """FileExistsError where it is there and only_new."""
        with translated():
            self._files.pipe_file(f"{bucket}/{key}", data, mode="create" if only_new else "overwrite")

    def delete(self, bucket: str, key: str) -> None:
        """No error where it is gone."""
        with translated():
            self._files.call_s3("delete_object", Bucket=bucket, Key=key)

    def pages(self, bucket: str, prefix: str, *, delimiter: str, most: int = 1000) -> Iterator[Page]:
        """Of all keys that begin with the prefix."""
        more: dict[str, str] = {}
        while True:
            with translated():
                answer = self._files.call_s3(
                    "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, MaxKeys=most, **more
                )
            yield Page(
                keys=[item["Key"] for item in answer.get("Contents", ())],
                prefixes=[item["Prefix"] for item in answer.get("CommonPrefixes", ())],
            )
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}


def gcs_emulator() -> str | None:
    """Address of a server to use instead of Google's, as Google's own tools take it; it asks for no credentials."""
    return os.environ.get("STORAGE_EMULATOR_HOST") or None


class GcsWriter:
    """The same on Google Cloud Storage."""

    def __init__(self) -> None:
        token = "anon" if gcs_emulator() else "google_default"
        self._files = fsspec.filesystem("gs", token=token, use_listings_cache=False, skip_instance_cache=True)

    def put(self, bucket: str, key: str, data: bytes, *, only_new: bool) -> None:
        """FileExistsError where it is there and only_new."""
        with translated():
            self._files.pipe_file(f"{bucket}/{key}", data, mode="create" if only_new else "overwrite")

    def delete(self, bucket: str, key: str) -> None:
        """NotFound where it is gone."""
        with translated():
            self._files.call("DELETE", "b/{}/o/{}", bucket, key)

    def pages(self, bucket: str, prefix: str, *, delimiter: str, most: int = 1000) -> Iterator[Page]:
        """Of all keys that begin with the prefix."""
        wanted = {"prefix": prefix, "maxResults": most, "fields": "items/name,prefixes,nextPageToken"}
        if delimiter:
            wanted["delimiter"] = delimiter
        while True:
            with translated():
                answer = self._files.call("GET", "b/{}/o", bucket, json_out=True, **wanted)
            yield Page(
                keys=[item["name"] for item in answer.get("items", ())],
                prefixes=list(answer.get("prefixes", ())),
            )
            if not (token := answer.get("nextPageToken")):
                return
            wanted["pageToken"] = token


class Web:
    """HTTP: reading, and the pages of links that web servers make of folders."""

    def __init__(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        self._files = fsspec.filesystem(
            "http", use_listings_cache=False, skip_instance_cache=True, client_kwargs={"timeout": timeout}
        )

    def get(self, url: str) -> bytes:
        """The whole answer."""
        with translated():
            data: bytes = self._files.cat_file(url)
            return data

    def links(self, url: str) -> list[str]:
        """The links of a page that lead further down, absolute."""
        with translated():
            return [found["name"] for found in self._files.ls(url, detail=True)]


@contextmanager
def translated() -> Iterator[None]:
    """What fails inside in our own errors. FileExistsError is an answer, and what isn't about the request is a bug."""
    try:
        yield
    except FileExistsError:
        raise
    except Exception as error:
        if isinstance(error, OSError | TimeoutError) or type(error).__module__.partition(".")[0] in _LIBRARIES:
            raise _failure_of(error) from error
        raise


def _failure_of(error: Exception) -> DueByError:
    """This object's fault, or the user's; or else the store's, which is worth another try."""
    status, words = _status(error), _words(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return NotFound(words)
    if isinstance(error, _USERS_FAULT) or (status is not None and 400 <= status < 500 and status not in _BUSY):
        return Unavailable(words)
    return Transient(words)


def _status(error: BaseException) -> int | None:
    """The HTTP status that the error, or the one that caused it, came with: botocore's, aiohttp's or gcsfs's."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status
    return _status(error.__cause__) if error.__cause__ is not None else None


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")


def _parse_timestamp(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        stamp: datetime = parse_timestamp(text)
        return stamp
