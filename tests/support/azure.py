"""A real server of Azure Blob Storage's API for tests: Azurite, which is Microsoft's own, in a process of its own."""

import base64
import hashlib
import hmac
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from support.killed import end_process
from support.s3 import free_port, program, wait_for_server

ACCOUNT, KEY = "dueby", base64.b64encode(b"dueby-secret").decode()
_VERSION = "2021-08-06"


@dataclass(frozen=True, kw_only=True)
class AzureServer:
    """A running server with one container."""

    endpoint: str
    container: str
    env: Mapping[str, str]
    """The environment variables that a process needs to use it."""

    def uri(self, path: str = "") -> str:
        """Return the az:// URI of the object, or of the container."""
        return f"az://{self.container}/{path}"


@contextmanager
def azurite_server(tmp_path: Path, *, container: str = "photos") -> Iterator[AzureServer]:
    """Run the server until the block ends. It keeps its objects in memory."""
    log, port = tmp_path / "azurite.log", free_port()
    endpoint = f"http://127.0.0.1:{port}"
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--disableProductStyleUrl"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program("azurite-blob"), "--blobPort", str(port), *options],
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_server(endpoint, process, log)
        put_container(endpoint, container)
        yield AzureServer(
            endpoint=endpoint,
            container=container,
            env={
                "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": KEY,
                "AZURE_STORAGE_ENDPOINT": f"{endpoint}/{ACCOUNT}",
            },
        )
    finally:
        end_process(process)


def put_container(endpoint: str, container: str) -> None:
    """Create a container."""
    _request("PUT", endpoint, container, "restype:container", {})


def put_object(server: AzureServer, key: str, data: bytes) -> None:
    """Write an object, whatever its key."""
    _request("PUT", server.endpoint, f"{server.container}/{key}", "", {"x-ms-blob-type": "BlockBlob"}, data)


def delete_container(endpoint: str, container: str) -> None:
    """Delete a container and all in it."""
    _request("DELETE", endpoint, container, "restype:container", {})


def _request(method: str, endpoint: str, path: str, query: str, headers: dict[str, str], data: bytes = b"") -> None:
    """Ask as Azure's documentation of Shared Key has it, since obstore doesn't make containers."""
    headers = {**headers, "x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
    signed = "\n".join(f"{name}:{value}" for name, value in sorted(headers.items()))
    place = f"/{ACCOUNT}/{ACCOUNT}/{path}" + (f"\n{query}" if query else "")
    text = f"{method}\n\n\n{len(data) or ''}\n\napplication/octet-stream\n\n\n\n\n\n\n{signed}\n{place}"
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    headers["Content-Type"] = "application/octet-stream"
    url = f"{endpoint}/{ACCOUNT}/{path}" + (f"?{query.replace(':', '=')}" if query else "")
    with urllib.request.urlopen(urllib.request.Request(url, method=method, data=data, headers=headers), timeout=20):
        pass
