"""Lists of objects of any size: whole, in pages that are short, and without what no memory is enough for."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from dueby_operator.kube import pages
from dueby_operator.kube.client import parse_list
from dueby_operator.kube.pages import PAGE, TooLong
from dueby_operator.objects.meta import HasIdentity
from support.api import served

Document = dict[str, Any]


class Server:
    """An API server with objects of these sizes, and what it was asked for."""

    def __init__(self, *sizes: int, has_pages: bool = True) -> None:
        self.items = [
            {"metadata": {"name": f"n{number}", "namespace": "team"}, "spec": "a" * size}
            for number, size in enumerate(sizes)
        ]
        self.has_pages = has_pages
        self.asked: list[tuple[int, int]] = []
        """Where each page began, and the objects that it was to have."""

    async def answer(self, request: web.Request) -> web.Response:
        begin, count = int(request.query.get("continue", 0)), int(request.query["limit"])
        self.asked.append((begin, count))
        end = begin + count if self.has_pages else len(self.items)
        items: list[Document] = self.items[begin:end]
        if "PartialObjectMetadataList" in request.headers["Accept"]:
            items = [{"metadata": item["metadata"]} for item in items]
        # As for custom resources: what tells of the next page comes last.
        more = str(end) if end < len(self.items) else ""
        return web.json_response({"items": items, "metadata": {"continue": more}})


def names_from(server: Server, passes: int = 1) -> list[str]:
    async def go() -> list[str]:
        async with served(server.answer) as kube:
            for _ in range(passes):
                found = await parse_list(kube, "/things", HasIdentity)
            return [item.metadata.name for item in found]

    return asyncio.run(go())


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a kilobyte, objects of two."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 2**10)
    monkeypatch.setattr(pages, "OBJECT_BYTES", 2**11)


def test_a_short_list_is_one_page() -> None:
    server = Server(10, 10)
    assert names_from(server) == ["n0", "n1"]
    assert server.asked == [(0, PAGE)]


def test_a_page_that_is_too_long_is_asked_for_with_fewer_objects_and_later_pages_have_more_again() -> None:
    server = Server(*[400] * 9, *[1] * 60)
    assert names_from(server) == [f"n{number}" for number in range(69)]
    assert server.asked[:6] == [(0, 500), (0, 125), (0, 31), (0, 7), (0, 1), (1, 2)]
    assert max(count for _, count in server.asked[6:]) > 7
    assert len(server.asked) < 30


def test_one_object_may_be_longer_than_a_page_of_several() -> None:
    assert names_from(Server(1, 1800, 1)) == ["n0", "n1", "n2"]


def test_an_object_that_is_too_long_alone_is_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    assert names_from(Server(1, 5000, 1, 1), passes=2) == ["n0", "n2", "n3"]
    (line,) = caplog.messages
    assert "/things: team/n1 is left out" in line


def test_of_a_server_without_pages_nothing_is_left_out_in_silence() -> None:
    with pytest.raises(TooLong, match="no pages"):
        names_from(Server(5000, 1, has_pages=False))


def test_a_second_list_begins_with_pages_that_were_short_enough() -> None:
    server = Server(*[300] * 8)
    assert len(names_from(server, passes=2)) == 8
    second = [begin for begin, _ in server.asked].index(0, server.asked.index((0, 1)) + 1)
    # Nothing is asked for twice in it.
    begins = [begin for begin, _ in server.asked[second:]]
    assert begins == sorted(set(begins))
