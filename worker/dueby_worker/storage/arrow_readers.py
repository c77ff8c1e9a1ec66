"""Folders, S3, Google Cloud Storage and Azure as pyarrow's own readers of Parquet datasets take them."""

import urllib.parse
import urllib.request
from datetime import timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyarrow import fs

from dueby_worker.storage.object_reader import azure_files, region_of
from dueby_worker.storage.remote import CONNECT_S, READ_S, S3Access, gcs_emulator
from dueby_worker.storage.uris import file_path, scheme_of, split

# pyarrow opens no more connections to S3 than it has threads for reading, or 25 if it has fewer; other requests wait.
# Each thread starts when there is work for it, and a file that is read as a whole has none.
MAX_CONNECTIONS = 128
# Of a request, by AWS's standard strategy: about a minute with its pauses.
_ATTEMPTS = 8


def file_system_of(uri: str) -> fs.FileSystem:
    """Return pyarrow's file system of what is below a canonical URI, for readers without a RetryPolicy of their own."""
    if scheme_of(uri) == "file":
        return fs.SubTreeFileSystem(file_path(uri), fs.LocalFileSystem())
    root, prefix = split(uri)
    scheme, _, bucket = root.partition("://")
    if scheme == "az":
        files = fs.PyFileSystem(fs.FSSpecHandler(azure_files()))
    else:
        files = _s3_files(S3Access.from_environment(), bucket) if scheme == "s3" else _gcs_files()
    return fs.SubTreeFileSystem(f"{bucket}/{prefix}".rstrip("/"), files)


@lru_cache(maxsize=8)
def _s3_files(access: S3Access, bucket: str) -> fs.FileSystem:
    pa.set_io_thread_count(max(MAX_CONNECTIONS, pa.io_thread_count()))
    if access.endpoint is not None:
        scheme, _, host = access.endpoint.rpartition("://")
        where: dict[str, Any] = {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
        # Such a server has no regions, but the signature needs one.
        region = access.region or "us-east-1"
    else:
        where, region = {}, access.region or region_of(bucket)
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS)
    return fs.S3FileSystem(
        region=region,
        retry_strategy=retries,
        connect_timeout=CONNECT_S,
        request_timeout=READ_S,
        proxy_options=_proxy_to(access.endpoint or f"https://s3.{region}.amazonaws.com"),
        **where,
    )


def _proxy_to(url: str) -> str | None:
    """Return the proxy that the environment names for this URL, as curl and botocore find it; None for none."""
    where = urllib.parse.urlsplit(url if "://" in url else f"https://{url}")
    # The AWS SDK that pyarrow has reads no such variable; Google's does.
    proxy = urllib.request.getproxies().get(where.scheme)
    return None if proxy is None or urllib.request.proxy_bypass(where.netloc) else proxy


@lru_cache(maxsize=1)
def _gcs_files() -> fs.FileSystem:
    """Return what reads Google's buckets."""
    # Too short for a second attempt: RetryPolicy does the retrying.
    once = timedelta(seconds=CONNECT_S)
    if (emulator := gcs_emulator()) is not None:
        scheme, _, host = emulator.rpartition("://")
        return fs.GcsFileSystem(anonymous=True, scheme=scheme or "http", endpoint_override=host, retry_time_limit=once)
    return fs.GcsFileSystem(retry_time_limit=once)
