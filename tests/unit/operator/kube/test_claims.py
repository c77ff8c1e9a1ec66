"""Two releases that watch one namespace: one works on its jobs, and the other leaves them alone and says so."""

import asyncio
import json

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.kube.claims import DURATION_S, NAME, RENEW_S, NamespaceClaims
from support.api import served
from support.decisions import infj, job
from support.kept_objects import KeptObjects

PATH = paths.lease_path("team", NAME)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Server(KeptObjects):
    """Gives versions to objects, and refuses to replace an old one."""

    version = 0
    status = 200
    is_heard = True
    """Whether its answers to what is written arrive."""

    async def answer(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        if request.method == "PUT":
            body = json.loads(await request.read())
            found = self.objects.get(request.path)
            if found is None or body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                return web.json_response({"message": "changed"}, status=409)
        answer = await super().answer(request)
        if request.method in ("PUT", "POST") and answer.status == 200:
            self.version += 1
            self.objects[PATH]["metadata"]["resourceVersion"] = str(self.version)
            if not self.is_heard:
                await asyncio.sleep(3600)
            return web.json_response(self.objects[PATH])
        return answer


def test_one_of_two_releases_holds_a_namespace_until_it_goes_away(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        server, clock = Server(), Clock()
        async with served(server.answer) as kube:
            first, second = (
                NamespaceClaims(kube, lease=paths.lease_path("dueby", release), clock_s=clock) for release in ("a", "b")
            )
            assert await first.hold(["team"]) == {}
            for _ in range(10):
                clock.now_s += RENEW_S
                assert await first.hold(["team"]) == {}
                assert (await second.hold(["team"]))["team"].startswith("the release dueby/a works on them")
            clock.now_s += DURATION_S + 1
            assert await second.hold(["team"]) == {}
            assert (await first.hold(["team"]))["team"].startswith("the release dueby/b works on them")

    asyncio.run(go())
    assert sum("the release dueby/a works on them" in message for message in caplog.messages) == 1


def test_of_two_that_begin_at_the_same_time_one_has_it() -> None:
    async def go() -> None:
        async with served(Server().answer) as kube:
            both = [NamespaceClaims(kube, lease=paths.lease_path("dueby", release)) for release in ("a", "b")]
            found = await asyncio.gather(*(claims.hold(["team"]) for claims in both))
            assert sum(not missing for missing in found) == 1

    asyncio.run(go())


def test_the_next_process_of_a_release_goes_on_at_once_and_a_claim_is_a_request_a_minute() -> None:
    async def go() -> None:
        server, clock = Server(), Clock()
        async with served(server.answer) as kube:
            assert await NamespaceClaims(kube, lease=paths.lease_path("dueby", "a"), clock_s=clock).hold(["team"]) == {}
            after = NamespaceClaims(kube, lease=paths.lease_path("dueby", "a"), clock_s=clock)
            for _ in range(60):
                assert await after.hold(["team"]) == {}
                clock.now_s += 2
        assert [method for method, _ in server.asked] == ["POST", "PUT", "PUT"]

    asyncio.run(go())


def test_a_renewal_whose_answer_is_lost_holds_no_job_up() -> None:
    async def go() -> None:
        server, clock = Server(), Clock()
        async with served(server.answer) as kube:
            claims = NamespaceClaims(kube, lease=paths.lease_path("dueby", "a"), clock_s=clock)
            assert await claims.hold(["team"]) == {}
            clock.now_s += RENEW_S
            for server.is_heard in (False, True):
                assert await asyncio.wait_for(claims.hold(["team"]), 20) == {}

    asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "later_s", "is_held"),
    [
        pytest.param(500, RENEW_S, True, id="an outage that is shorter than the claim"),
        pytest.param(500, DURATION_S, False, id="a longer one"),
        pytest.param(403, DURATION_S, True, id="no right to have one"),
    ],
)
def test_a_claim_that_can_not_be_renewed(status: int, later_s: float, is_held: bool) -> None:
    async def go() -> None:
        server, clock = Server(), Clock()
        async with served(server.answer) as kube:
            claims = NamespaceClaims(kube, lease=paths.lease_path("dueby", "a"), clock_s=clock)
            assert await claims.hold(["team"]) == {}
            server.status = status
            clock.now_s += later_s
            assert (not await claims.hold(["team"])) == is_held

    asyncio.run(go())


def test_jobs_of_a_namespace_on_which_another_release_works_are_left_alone() -> None:
    async def go() -> list[bool]:
        async with served(Server().answer) as kube:
            first, second = (NamespaceClaims(kube, lease=paths.lease_path("dueby", release)) for release in ("a", "b"))
            return [bool((await claims.leave_alone([job(infj())]))[0].unreadable) for claims in (first, second)]

    assert asyncio.run(go()) == [False, True]
