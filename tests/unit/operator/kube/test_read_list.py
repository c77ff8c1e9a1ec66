"""A list is read page by page, and one object that can't be read is nobody else's trouble."""

import asyncio

import pytest
from aiohttp import web

from dueby_operator.kube.client import parse_list
from dueby_operator.objects.jobs import BatchJob
from support.api import served

PAGES = [[{"metadata": {"name": "a"}}, {"metadata": {"name": "odd", "labels": 7}}], [{"metadata": {"name": "b"}}], []]


def test_what_can_be_read_of_all_pages_is_returned_and_the_rest_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: web.Request) -> web.Response:
        number = int(request.query.get("continue", 0))
        more = str(number + 1) if number + 1 < len(PAGES) else ""
        return web.json_response({"metadata": {"continue": more}, "items": PAGES[number] or None})

    async def go() -> list[str]:
        async with served(answer) as kube:
            return [job.name for job in await parse_list(kube, "/jobs", BatchJob)]

    assert asyncio.run(go()) == ["a", "b"]
    (line,) = caplog.messages
    assert "odd is left out" in line
