"""What is compared of objects on Google Cloud Storage, by a server that answers as its API is documented."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dueby_worker.storage.remote import GcsWriter, pages
from support.web import Whole, serving

# As objects.list describes them. An object that was composed of others has no MD5.
OBJECTS: list[dict[str, str]] = [
    {"name": "in/a.jpg", "md5Hash": "QVKQdpWURg4uSFkikE80XQ==", "generation": "1764550000000001"},
    {"name": "in/b.jpg", "generation": "1764550000000002"},
    {"name": "in/c/d.jpg", "md5Hash": "bb+awtoJ7h096/WlGHPsbQ==", "generation": "1764550000000003"},
    {"name": "other/e.jpg", "md5Hash": "jmgxh6AOXUYqSu7mnp09nA==", "generation": "1764550000000004"},
]
PAGE = 2


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
        page = partial(GcsWriter().page, "photos", "in/", delimiter="", most=PAGE)
        found = [list(page.keys.items()) for page in pages(page, lambda ask: ask())]
    assert found == [
        [("in/a.jpg", "QVKQdpWURg4uSFkikE80XQ=="), ("in/b.jpg", "1764550000000002")],
        [("in/c/d.jpg", "bb+awtoJ7h096/WlGHPsbQ==")],
    ]
