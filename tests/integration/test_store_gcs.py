"""What is compared of objects on Google Cloud Storage, by a server that answers as its API is documented."""

import json
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from dueby_worker.storage.remote import GcsWriter, pages
from dueby_worker.storage.store import NotFound, TooLarge
from dueby_worker.storage.stores import open_store
from support.index import HURRIED
from support.web import Whole, serving

# As objects.list describes them. An object that was composed of others has no MD5.
OBJECTS: list[dict[str, str]] = [
    {"name": "in/a.jpg", "md5Hash": "QVKQdpWURg4uSFkikE80XQ==", "generation": "1764550000000001"},
    {"name": "in/b.jpg", "generation": "1764550000000002"},
    {"name": "in/c/d.jpg", "md5Hash": "bb+awtoJ7h096/WlGHPsbQ==", "generation": "1764550000000003"},
    {"name": "other/e.jpg", "md5Hash": "jmgxh6AOXUYqSu7mnp09nA==", "generation": "1764550000000004"},
]
PAGE = 2


class Counted(Whole):
    """Sends objects as Google's XML API does, and counts what it was asked for."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        self.asked.append((self.command, unquote(self.path)))
        super().do_GET()

    def end_headers(self) -> None:
        self.send_header("ETag", '"5d41402abc4b2a76b9719d911017c592"')
        super().end_headers()


def test_a_photo_costs_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos" / "in").mkdir(parents=True)
    (tmp_path / "photos" / "in" / "a b.jpg").write_bytes(b"photo")
    with serving(tmp_path, Counted) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        store = open_store("gs://photos/in", retry=HURRIED)
        assert store.read_once("a b.jpg", max_bytes=5) == b"photo"
        assert Counted.asked == [("GET", "/photos/in/a b.jpg")]
        assert store.version_once("a b.jpg").etag == "5d41402abc4b2a76b9719d911017c592"
        with pytest.raises(TooLarge):
            store.read_once("a b.jpg", max_bytes=4)
        with pytest.raises(NotFound, match="there is no such object"):
            store.read_once("nowhere.jpg", max_bytes=5)
    assert len(Counted.asked) == 5


def test_an_object_whose_answer_lacks_a_header_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("photos/in", "download/storage/v1/b/photos/o/in"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(b"photo")
    with serving(tmp_path, Whole) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        assert open_store("gs://photos/in", retry=HURRIED).read("a.jpg") == b"photo"


class Google(Whole):
    """Lists a bucket."""

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        url = urlsplit(self.path)
        assert url.path == "/storage/v1/b/photos/o"
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        asked = set(query["fields"].removeprefix("items(").partition(")")[0].split(","))
        items = [item for item in OBJECTS if item["name"].startswith(query.get("prefix", ""))]
        first = int(query.get("pageToken", "0"))
        page = items[first : first + int(query["maxResults"])]
        answer: dict[str, Any] = {"items": [{key: item[key] for key in item.keys() & asked} for item in page]}
        if first + len(page) < len(items):
            answer["nextPageToken"] = str(first + len(page))
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_objects_are_compared_by_md5_and_without_one_by_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, Google) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        page = partial(GcsWriter("photos").page, "in/", delimiter="", most=PAGE)
        found = [list(page.keys.items()) for page in pages(page, lambda ask: ask())]
    assert found == [
        [("in/a.jpg", "QVKQdpWURg4uSFkikE80XQ=="), ("in/b.jpg", "1764550000000002")],
        [("in/c/d.jpg", "bb+awtoJ7h096/WlGHPsbQ==")],
    ]
