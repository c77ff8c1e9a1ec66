"""Images from a web server: listed where it lists folders, read, and told apart when it fails."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.source import ListedSource, Source
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.remote import Web
from dueby_worker.storage.retry import Throttled
from dueby_worker.storage.store import NotFound, TooLarge, Unavailable
from dueby_worker.storage.stores import open_store
from support.index import HURRIED, index_of, read
from support.pictures import write_photos
from support.s3 import free_port


@dataclass
class Site:
    """A folder as Python's own web server shows it, with statuses of our choice for some paths."""

    folder: Path
    url: str
    refusals: dict[str, int] = field(default_factory=dict)
    endless: str = ""
    """A path that never ends."""
    pause_s: float = 0.0
    """What passes between two pieces of it."""
    shows_one_page: bool = False
    """Whether the first page is shown for every path."""
    is_over: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Lists folders as web servers do."""

    def __init__(self, *args: Any, site: Site, **kwargs: Any) -> None:
        self.site = site
        super().__init__(*args, directory=str(site.folder), **kwargs)

    def do_GET(self) -> None:
        if self.site.shows_one_page:
            self.path = "/"
        status = self.site.refusals.get(self.path)
        if self.path == self.site.endless:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while not self.site.is_over.wait(self.site.pause_s):
                    self.wfile.write(bytes(100_000))
        elif status is None:
            super().do_GET()
        else:
            self.send_error(status)

    def log_message(self, *args: object) -> None:
        """Tests say enough."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(folder=tmp_path / "site", url="")
    site.folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site=site))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    site.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def build(source: Source, tmp_path: Path) -> Index:
    return index_of(source, open_store(str(tmp_path / "sink")))


def errors_of(index: Index) -> list[str | None]:
    return [image.error for image in read(index, ahead=8)]


@pytest.mark.parametrize(
    ("path", "images"),
    [
        pytest.param("/photos", 7, id="a folder"),
        pytest.param("/photos/", 7, id="a folder with a slash"),
        pytest.param("/photos/*.jpg", 5, id="a glob"),
        pytest.param("/photos/**/*.png", 2, id="a glob of any depth"),
        pytest.param("/photos/00000.jpg", 1, id="one image"),
        pytest.param("", 7, id="the host"),
    ],
)
def test_a_folder_that_the_server_lists_is_indexed_and_read(tmp_path: Path, site: Site, path: str, images: int) -> None:
    write_photos(site.folder / "photos", 5)
    write_photos(site.folder / "photos" / "sub folder", 2, kind="png")
    (site.folder / "photos" / "notes.txt").write_text("no image")
    index = build(Source(uri=site.url + path), tmp_path)
    assert index.images == index.document.summary.input_cost.sampled == images
    assert errors_of(index) == [None] * images


def test_a_manifest_of_a_web_server_is_relative_to_its_folder(tmp_path: Path, site: Site) -> None:
    write_photos(site.folder / "a" / "b", 3)
    (site.folder / "a" / "list.txt").write_text(f"b/00000.jpg\n/a/b/00001.jpg\n{site.url}/a/b/00002.jpg\n../c.jpg\n")
    index = build(Source(manifest=ListedSource(uri=f"{site.url}/a/list.txt")), tmp_path)
    names = ("a/b/00000.jpg", "a/b/00001.jpg", "a/b/00002.jpg", "c.jpg")
    assert index.uris(0, 3) == [f"{site.url}/{name}" for name in names]
    errors = errors_of(index)
    assert errors[:3] == [None] * 3
    assert (errors[3] or "").startswith("It can't be read: ")


@pytest.mark.parametrize(
    "row", ["//{other}/a.jpg", "http://{other}/a.jpg", "http://{own}@{other}/a.jpg", "file:///a.jpg"]
)
def test_a_manifest_of_a_web_server_leads_to_no_other(tmp_path: Path, site: Site, row: str) -> None:
    own = site.url.partition("://")[2]
    (site.folder / "list.txt").write_text(row.format(own=own, other="169.254.169.254") + "\n")
    with pytest.raises(Invalid, match=rf"line 1: .* is not at {site.url}, as the list itself is"):
        build(Source(manifest=ListedSource(uri=f"{site.url}/list.txt")), tmp_path)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        pytest.param("/nowhere", "spec.source.uri: {}/nowhere: ", id="no such folder"),
        pytest.param("/empty", "spec.source.uri: {}/empty: its page has no links to files", id="an empty folder"),
        pytest.param(
            "/page/", "spec.source.uri: {}/page/: its page has no links to files", id="a page that lists nothing"
        ),
        pytest.param(
            "/page/index.html",
            "spec.source.uri: {}/page/index.html: is a single file without an image's extension",
            id="a page",
        ),
        pytest.param("/photos/*.gif", "spec.source.uri: there are no images: nothing matches", id="no match"),
    ],
)
def test_what_a_web_server_does_not_list_is_the_users_to_correct(
    tmp_path: Path, site: Site, path: str, sentence: str
) -> None:
    write_photos(site.folder / "photos", 1)
    (site.folder / "empty").mkdir()
    (site.folder / "page").mkdir()
    (site.folder / "page" / "index.html").write_text('<a href="/">up</a><a href="?C=N">sort</a><a href="./">here</a>')
    with pytest.raises(Invalid) as caught:
        build(Source(uri=site.url + path), tmp_path)
    assert str(caught.value).startswith(sentence.format(site.url))


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (404, NotFound),
        (410, NotFound),
        (401, Unavailable),
        (403, Unavailable),
        (429, Throttled),
        (500, Transient),
        (503, Transient),
    ],
)
def test_what_a_status_means(site: Site, status: int, failure: type[Exception]) -> None:
    site.refusals["/x.jpg"] = status
    with pytest.raises(failure) as caught:
        open_store(site.url, retry=HURRIED).read("x.jpg")
    assert type(caught.value) is failure


def test_no_more_is_read_than_the_caller_takes(site: Site) -> None:
    (site.folder / "x.jpg").write_bytes(bytes(2_000))
    site.endless = "/endless.jpg"
    store = open_store(site.url, retry=HURRIED)
    assert len(store.read_once("x.jpg", max_bytes=2_000)) == 2_000
    with pytest.raises(TooLarge, match="it has 2,000 bytes, more than the limit of 1,999 bytes"):
        store.read_once("x.jpg", max_bytes=1_999)
    with pytest.raises(TooLarge, match="it goes on, more than the limit of 5,000,000 bytes"):
        store.read_once("endless.jpg", max_bytes=5_000_000)
    assert store.exists("endless.jpg")


def test_an_image_that_trickles_in_is_given_up(site: Site) -> None:
    site.endless, site.pause_s = "/slow.jpg", 0.05
    with pytest.raises(Transient):
        Web(image_s=0.5).get(f"{site.url}/slow.jpg", max_bytes=10**9)


def test_a_server_that_is_not_there_is_transient() -> None:
    with pytest.raises(Transient):
        open_store(f"http://127.0.0.1:{free_port()}", retry=HURRIED).read("x.jpg")


def test_a_server_in_trouble_is_no_images_error(tmp_path: Path, site: Site) -> None:
    write_photos(site.folder / "photos", 5)
    index = build(Source(uri=f"{site.url}/photos"), tmp_path)
    for number in range(5):
        site.refusals[f"/photos/0000{number}.jpg"] = 503
    with pytest.raises(Transient):
        errors_of(index)
    for number in range(5):
        site.refusals[f"/photos/0000{number}.jpg"] = 404
    with pytest.raises(Transient, match="is the source gone"):
        errors_of(index)
    site.refusals = {"/photos/00003.jpg": 404}
    assert [error is None for error in errors_of(index)] == [True, True, True, False, True]


def test_a_server_that_shows_the_same_page_for_every_path_is_refused(site: Site, tmp_path: Path) -> None:
    (site.folder / "more").mkdir()
    site.shows_one_page = True
    with pytest.raises(Invalid, match="its pages lead more than 64 folders down"):
        build(Source(uri=f"{site.url}/photos/"), tmp_path)
