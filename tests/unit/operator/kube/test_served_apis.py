"""Resource definitions that are older than the operator, as the API server publishes their schemas."""

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from aiohttp import web

from dueby_operator.kube.served_apis import CHECK_S, GROUP_OF_JOBS, INDEX_PATH, RECHECK_S, OlderDefinition, ServedAPIs
from dueby_operator.resources.crds import job_crd, profile_crd
from support.api import served

Document = dict[str, Any]


def published() -> Document:
    """The schemas of this operator's definitions, as an API server publishes them."""
    schemas = {}
    for crd in (job_crd(), profile_crd()):
        kind = crd["spec"]["names"]["kind"]
        schema = deepcopy(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        schemas[f"dev.dueby.v1alpha1.{kind}"] = {**schema, "x-kubernetes-group-version-kind": [{"kind": kind}]}
    return {"components": {"schemas": schemas}}


def status_of(schema: Document, kind: str = "InferenceJob") -> Document:
    found: Document = schema["components"]["schemas"][f"dev.dueby.v1alpha1.{kind}"]["properties"]["status"][
        "properties"
    ]
    return found


class Publisher:
    """An API server that publishes one schema."""

    def __init__(self, schema: Document) -> None:
        self.schema = schema
        self.asked: list[str] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        if request.path == INDEX_PATH:
            url = f"{INDEX_PATH}/{GROUP_OF_JOBS}?hash={hash(json.dumps(self.schema))}"
            return web.json_response({"paths": {GROUP_OF_JOBS: {"serverRelativeURL": url}}})
        return web.json_response(self.schema)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def drop(*path: str) -> Callable[[Document], None]:
    def change(schema: Document) -> None:
        node = status_of(schema)
        for name in path[:-1]:
            node = node[name]
        del node[path[-1]]

    return change


def drop_value(schema: Document) -> None:
    status_of(schema)["phase"]["enum"].remove("Running")


def add(schema: Document) -> None:
    status_of(schema)["ofTomorrow"] = {"type": "string"}


def reorder(schema: Document) -> None:
    status = status_of(schema)
    for name in reversed(list(status)):
        status[name] = {"default": "d", **status.pop(name), "description": "in other words"}


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        pytest.param(lambda schema: None, None, id="the same"),
        pytest.param(add, None, id="a newer one"),
        pytest.param(reorder, None, id="in another order, with defaults and other descriptions"),
        pytest.param(drop("workersSeen"), "InferenceJob.status.workersSeen", id="without a field"),
        pytest.param(drop("plan", "properties", "windows"), "InferenceJob.status.plan.windows", id="of a plan"),
        pytest.param(drop_value, "InferenceJob.status.phase=Running", id="without a value"),
    ],
)
def test_nothing_is_decided_with_definitions_that_lack_what_the_operator_writes(
    change: Callable[[Document], None], lacking: str | None
) -> None:
    schema, shown = published(), list[bool]()
    change(schema)

    async def look() -> None:
        async with served(Publisher(schema).answer) as kube:
            await ServedAPIs(kube, show=shown.append).require_current()

    if lacking is None:
        asyncio.run(look())
    else:
        with pytest.raises(OlderDefinition, match=f"they lack {lacking}"):
            asyncio.run(look())
    assert shown == [lacking is None]


def test_it_is_looked_at_each_minute_and_sooner_while_it_is_older() -> None:
    clock, publisher = Clock(), Publisher(published())

    async def look() -> None:
        async with served(publisher.answer) as kube:
            apis = ServedAPIs(kube, clock_s=clock)
            await apis.require_current()
            assert len(publisher.asked) == 2
            clock.now_s = CHECK_S - 1
            await apis.require_current()
            clock.now_s = CHECK_S
            await apis.require_current()
            assert publisher.asked[2:] == [INDEX_PATH], "the schema is read again only if it has changed"
            drop("workersSeen")(publisher.schema)
            clock.now_s = 2 * CHECK_S
            for _ in range(3):
                with pytest.raises(OlderDefinition):
                    await apis.require_current()
            assert len(publisher.asked) == 5
            publisher.schema = published()
            clock.now_s += RECHECK_S
            await apis.require_current()

    asyncio.run(look())


@pytest.mark.parametrize("status", [403, 404])
def test_where_schemas_may_not_be_read_work_goes_on_and_the_log_says_so_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, publisher = Clock(), Publisher(published())
    publisher.status = status

    async def look() -> None:
        async with served(publisher.answer) as kube:
            apis = ServedAPIs(kube, clock_s=clock)
            for _ in range(3):
                await apis.require_current()
                clock.now_s += CHECK_S

    asyncio.run(look())
    assert [record.message for record in caplog.records] == [
        "whether the resource definitions are as new as this operator isn't known: no"
    ]
