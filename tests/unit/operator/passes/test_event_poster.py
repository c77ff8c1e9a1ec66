"""Events of one reason are merged: the first is posted at once, the others as one, a minute later."""

import asyncio

import pytest
from aiohttp import web

from dueby_operator.control.events import NewEvent
from dueby_operator.passes.event_poster import MERGED_US, EventPoster, MergedEvent, event_document
from support.api import served
from support.decisions import NOW, SECOND, infj, job

JOB = job(infj())
LATE, IN_TIME = (NewEvent(reason=reason, message=reason, is_warning=False) for reason in ("Late", "InTime"))


async def refuse(request: web.Request) -> web.Response:
    return web.json_response({"message": "no"}, status=404)


async def taken(events: list[tuple[int, list[NewEvent]]]) -> list[tuple[int, str, int]]:
    """What is posted, with the second of its pass and how many it stands for."""
    found: list[tuple[int, MergedEvent]] = []
    async with served(refuse) as kube:
        poster = EventPoster(kube)
        for second, new in events:
            found += [(second, merged) for merged in poster.take(JOB, new, now_us=NOW + second * SECOND)]
    return [(second, merged.event.reason, merged.count) for second, merged in found]


def test_a_worker_that_comes_and_goes_is_two_events_a_minute() -> None:
    passes = [(second, [LATE if second % 4 else IN_TIME]) for second in range(0, 122, 2)]
    assert asyncio.run(taken(passes)) == [
        (0, "InTime", 1),
        (2, "Late", 1),
        (60, "InTime", 15),
        (62, "Late", 15),
        (120, "InTime", 15),
    ]


def test_what_has_waited_is_posted_though_nothing_else_happens() -> None:
    minute = MERGED_US // SECOND
    assert asyncio.run(
        taken([(0, [LATE]), (2, [LATE]), (4, []), (minute, []), (2 * minute, []), (3 * minute, [])])
    ) == [
        (0, "Late", 1),
        (minute, "Late", 1),
    ]


def test_an_event_says_how_many_it_stands_for_and_since_when() -> None:
    document = event_document(MergedEvent(event=LATE, job=JOB, first_us=NOW, last_us=NOW + 60 * SECOND, count=15))
    assert document["count"] == 15
    assert document["firstTimestamp"] < document["lastTimestamp"]


def test_a_job_that_was_deleted_meanwhile_is_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def post() -> None:
        async with served(refuse) as kube:
            poster = EventPoster(kube)
            for merged in poster.take(JOB, [LATE], now_us=NOW):
                await poster.post(merged)

    asyncio.run(post())
    assert not caplog.records
