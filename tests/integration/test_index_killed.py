"""An index step that is killed at the worst moments of a long listing, and started again, by a real S3 server."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from dueby_worker.index.frozen_index import FOLDER as INDEX
from dueby_worker.storage.kept_answers import FOLDER
from dueby_worker.storage.stores import open_store
from support.fault_proxy import FORBIDDEN, FaultProxy, Refusal, Request, proxied
from support.s3 import S3Server, versitygw_server
from support.shared_run import RUN

pytestmark = pytest.mark.s3
FOLDERS, FILES = 6, 3000
# So long that few pages fill a file of answers.
LONG = "/".join(letter * 230 for letter in "abc")
LIMIT_S = 120.0
UNKNOWN_TOKEN = Refusal(status=400, code="InvalidArgument", message="The continuation token provided is incorrect")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        for number in range(FOLDERS):
            (folder := server.folder / "in" / str(number) / LONG).mkdir(parents=True)
            for name in range(FILES):
                (folder / f"{name:04d}.jpg").touch()
        yield server


@pytest.fixture(scope="module")
def wanted(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The index's files of a step that nobody kills, and how often it asks for a page."""
    with proxied(server) as proxy:
        step = start_step(server, "wanted", tmp_path_factory.mktemp("wanted"))
        assert step.wait(LIMIT_S) == 0
        return index_files(server, "wanted"), pages(proxy)


def start_step(server: S3Server, sink: str, folder: Path) -> subprocess.Popen[bytes]:
    config = {
        "job": "catalog",
        "uid": "0123",
        "model": {"name": "mobilenet_v3_small", "weights": "none", "imageSize": 64},
        "source": {"uri": server.uri("in"), "allowUnreadable": True},
        "sink": {"uri": server.uri(sink)},
        "cacheDir": str(RUN / "cache"),  # what is known of the model is found there, without PyTorch
    }
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log.txt").open("ab") as log:
        words = [sys.executable, "-m", "dueby_worker", "index", "--config", str(folder / "config.json")]
        return subprocess.Popen(words, stdout=log, stderr=log)


def index_files(server: S3Server, sink: str) -> dict[str, bytes]:
    folder = server.folder / sink / INDEX
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*.parquet")}


def pages(proxy: FaultProxy) -> int:
    return sum("list-type=2" in request.path and "prefix=in%2F" in request.path for request in proxy.requests)


def questions(proxy: FaultProxy) -> set[tuple[str, str, str | None]]:
    """The pages that were asked for: prefix, delimiter, and where they go on."""
    paths = [request.path for request in proxy.requests if "list-type=2" in request.path]
    queries = [dict(parse_qsl(urlsplit(path).query)) for path in paths]
    return {(query["prefix"], query.get("delimiter", ""), query.get("continuation-token")) for query in queries}


def kept_questions(server: S3Server, sink: str) -> set[tuple[str, str, str | None]]:
    """Those whose answers are in the sink."""
    store = open_store(server.uri(sink))
    files = [zlib.decompress(store.read(f"{FOLDER}/{name}")) for name in store.list_names(FOLDER)]
    kept = [json.loads(question) for file in files for question, _ in json.loads(file)]
    return {(below, delimiter, more) for *_, below, delimiter, more, _ in kept}


def nth(number: int, method: str, part_of_path: str) -> Callable[[Request], bool]:
    """Return whether a request is the n-th of its kind."""
    seen: list[Request] = []

    def is_it(request: Request) -> bool:
        if request.method == method and part_of_path in request.path:
            seen.append(request)
            return len(seen) == number
        return False

    return is_it


@pytest.mark.parametrize(
    ("moment", "is_done", "may_ask"),
    [
        pytest.param(nth(1, "PUT", FOLDER), False, 1.0, id="before the first answers are written"),
        # How many are left depends on how the listing was cut up meanwhile, and on which answers were on their way.
        pytest.param(nth(2, "PUT", FOLDER), True, 0.9, id="when some answers are written"),
        pytest.param(nth(1, "PUT", f"{INDEX}/"), False, 0.9, id="when everything is listed", marks=pytest.mark.deep),
        pytest.param(nth(1, "PUT", f"{INDEX}/index.json"), True, 0.9, id="when the index is there"),
        # They are deleted side by side, so that any number of them may be left.
        pytest.param(nth(2, "DELETE", FOLDER), False, 1.0, id="while the answers are deleted", marks=pytest.mark.deep),
    ],
)
def test_a_step_that_is_killed_goes_on_and_gives_the_same_index(
    server: S3Server,
    proxy: FaultProxy,
    wanted: tuple[dict[str, bytes], int],
    tmp_path: Path,
    moment: Callable[[Request], bool],
    is_done: bool,
    may_ask: float,
) -> None:
    files, asked = wanted
    step = start_step(server, tmp_path.name, tmp_path)

    def kill(request: Request) -> Refusal | None:
        if step.poll() is not None or moment(request):
            is_first = step.poll() is None
            step.kill()
            return None if is_first and is_done else FORBIDDEN
        return None

    proxy.fault = kill
    assert step.wait(LIMIT_S) == -9, (tmp_path / "log.txt").read_text()
    proxy.fault = lambda request: None
    kept = kept_questions(server, tmp_path.name)
    assert kept <= questions(proxy)
    assert kept or may_ask == 1
    proxy.requests.clear()

    again = start_step(server, tmp_path.name, tmp_path)

    assert again.wait(LIMIT_S) == 0, (tmp_path / "log.txt").read_text()
    assert index_files(server, tmp_path.name) == files
    assert pages(proxy) <= may_ask * asked
    assert not kept & questions(proxy), "an answer that is kept is not asked for"
    assert open_store(server.uri(tmp_path.name)).list_names(FOLDER) == []


def test_a_store_that_does_not_know_where_a_listing_was_is_listed_again(
    server: S3Server, proxy: FaultProxy, wanted: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    files, asked = wanted
    step = start_step(server, tmp_path.name, tmp_path)
    moment = nth(2, "PUT", FOLDER)
    proxy.fault = lambda request: step.kill() if moment(request) else None
    assert step.wait(LIMIT_S) == -9, (tmp_path / "log.txt").read_text()
    proxy.requests.clear()
    moment = nth(1, "GET", "continuation-token")
    proxy.fault = lambda request: UNKNOWN_TOKEN if moment(request) else None

    again = start_step(server, tmp_path.name, tmp_path)

    assert again.wait(LIMIT_S) == 0, (tmp_path / "log.txt").read_text()
    assert "the listing begins again" in (tmp_path / "log.txt").read_text()
    assert index_files(server, tmp_path.name) == files
    assert pages(proxy) > asked
    assert open_store(server.uri(tmp_path.name)).list_names(FOLDER) == []
