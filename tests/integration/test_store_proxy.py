"""Stores behind a proxy that the environment names, as botocore, curl and pip take it."""

import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import DueByError
from dueby_worker.storage.remote import Web
from dueby_worker.storage.stores import open_store
from support.index import HURRIED
from support.pictures import write_photos


@dataclass
class Proxy:
    """What it was asked for, as whole URLs."""

    asked: list[str] = field(default_factory=list)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers for every host from one folder."""

    def __init__(self, *args: Any, proxy: Proxy, **kwargs: Any) -> None:
        self.proxy = proxy
        super().__init__(*args, **kwargs)

    def do_HEAD(self) -> None:
        self.proxy.asked.append(self.path)
        self.send_error(404)

    def do_GET(self) -> None:
        self.proxy.asked.append(self.path)
        self.path = urllib.parse.urlsplit(self.path).path
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Tests say enough."""


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    write_photos(tmp_path / "in", 1)
    proxy = Proxy()
    handler = partial(Handler, proxy=proxy, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    yield proxy
    server.shutdown()
    thread.join()
    server.server_close()


def test_images_of_the_web_are_read_through_the_proxy(proxy: Proxy, tmp_path: Path) -> None:
    (photo,) = (tmp_path / "in").iterdir()
    url = f"http://images.invalid/in/{photo.name}"
    assert Web().get(url, max_bytes=None) == photo.read_bytes()
    assert proxy.asked == [url]


@pytest.mark.parametrize(
    ("variable", "uri", "asked"),
    [
        ("AWS_ENDPOINT_URL", "s3://photos/in", "http://store.invalid/photos"),
        ("STORAGE_EMULATOR_HOST", "gs://photos/in", "http://store.invalid/"),
    ],
)
def test_buckets_are_asked_through_the_proxy(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str, uri: str, asked: str
) -> None:
    monkeypatch.setenv(variable, "http://store.invalid")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = open_store(uri, retry=HURRIED)
    for use in (lambda: store.read("a.jpg"), lambda: store.list_names()):
        proxy.asked.clear()
        with pytest.raises(DueByError):
            use()
        assert proxy.asked
        assert all(url.startswith(asked) for url in proxy.asked)


def test_a_host_that_no_proxy_names_is_asked_itself(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "store.invalid")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
    # Without them the instance's metadata would be asked for some, through the proxy.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(DueByError):
        open_store("s3://photos/in", retry=HURRIED).read("a.jpg")
    assert not proxy.asked
