"""Carrying writes out: what has the name of ours and isn't, and what was made again meanwhile."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from dueby_api.errors import DueByError
from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.kube.apply import NameTaken, NotYetGone, carry_out
from dueby_operator.kube.client import Conflict, Kube
from dueby_operator.kube.served_apis import GROUP_OF_BATCH, INDEX_PATH, ServedAPIs
from dueby_operator.model.writes import Add, Change, Create, Delete, Put, Write
from support.api import served
from support.kept_objects import KeptObjects

Document = dict[str, Any]
OWNER = names.job_owner("a", "u-1")
JOB, CONFIG_MAP = paths.batch_path("team", "a-index"), paths.core_path("configmaps", "team", "a-index")
PROFILE = paths.profiles_path("p")


def document(kind: str, *, owner: Document | None = OWNER, **metadata: Any) -> Document:
    owners = [owner] if owner else []
    return {"kind": kind, "metadata": {"name": "a-index", "namespace": "team", "ownerReferences": owners, **metadata}}


CREATE = Create(config_map=document("ConfigMap"), job=document("Job"))


def carried_out(server: KeptObjects, *writes: Write) -> DueByError | None:
    """Carry them out; return what was raised."""

    async def run() -> DueByError | None:
        async with served(server.answer) as kube:
            try:
                await carry_out(kube, writes)
            except DueByError as error:
                return error
        return None

    return asyncio.run(run())


@pytest.mark.parametrize(
    "there",
    [
        pytest.param([], id="nothing is there"),
        pytest.param([CONFIG_MAP], id="the operator was killed after the ConfigMap"),
        pytest.param([CONFIG_MAP, JOB], id="it was killed after both"),
    ],
)
def test_what_is_ours_already_stands(there: list[str]) -> None:
    kinds = {CONFIG_MAP: "ConfigMap", JOB: "Job"}
    server = KeptObjects({path: document(kinds[path], uid="before") for path in there})
    assert carried_out(server, CREATE) is None
    assert server.objects.keys() == {CONFIG_MAP, JOB}
    assert all(server.objects[path]["metadata"]["uid"] == "before" for path in there)


@pytest.mark.parametrize(("path", "kind"), [(CONFIG_MAP, "ConfigMap"), (JOB, "Job")])
@pytest.mark.parametrize(
    ("metadata", "raised", "words"),
    [
        pytest.param({"owner": None}, NameTaken, "belongs to nobody", id="a planted one"),
        pytest.param(
            {"owner": {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-2"}},
            NameTaken,
            "belongs to Node n",
            id="another owner's",
        ),
        pytest.param(
            {"owner": names.job_owner("a", "u-0")},
            NotYetGone,
            "still being deleted",
            id="the predecessor's",
        ),
        pytest.param(
            {"deletionTimestamp": "2026-11-26T12:00:00Z"}, NotYetGone, "still being deleted", id="ours, on its way out"
        ),
    ],
)
def test_what_has_the_name_and_is_not_ours_is_named_and_never_used(
    path: str, kind: str, metadata: Document, raised: type[DueByError], words: str
) -> None:
    server = KeptObjects({path: document(kind, **metadata)})
    error = carried_out(server, CREATE)
    assert isinstance(error, raised)
    assert f"{kind} team/a-index" in str(error)
    assert words in str(error)
    assert server.objects.keys() == {path}


@pytest.mark.parametrize("unknown", [(), ("scheduling",), ("scheduling", "other")])
def test_an_older_api_server_gets_a_job_without_what_it_does_not_know(unknown: tuple[str, ...]) -> None:
    spec = {"scheduling": {"schedulingPolicy": {"basic": {}}}, "other": 1}
    server = KeptObjects(unknown=unknown)
    error = carried_out(server, Create(config_map=document("ConfigMap"), job=document("Job") | {"spec": spec}))
    if "other" in unknown:
        assert "spec.other" in str(error)
        assert not server.objects
    else:
        assert error is None
        assert server.objects[JOB]["spec"] == {name: spec[name] for name in spec if name not in unknown}


def test_an_older_api_server_is_asked_once_for_each_of_its_versions() -> None:
    server, version = KeptObjects(unknown=("scheduling",)), ["1.36"]

    async def answer(request: web.Request) -> web.Response:
        if request.path == INDEX_PATH:
            return web.json_response({"paths": {GROUP_OF_BATCH: {"serverRelativeURL": version[0]}}})
        return await server.answer(request)

    async def tries(served_apis: ServedAPIs, kube: Kube, name: str) -> int:
        before = len(server.asked)
        job = document("Job", name=name) | {"spec": {"scheduling": {}}}
        await carry_out(kube, [Create(config_map=document("ConfigMap", name=name), job=job)], served=served_apis)
        return sum(path == paths.batch_path("team") for _, path in server.asked[before:])

    async def run() -> list[int]:
        async with served(answer) as kube:
            apis = ServedAPIs(kube, clock_s=iter(range(0, 10_000, 100)).__next__)
            found = []
            for name in ("a", "b", "c", "d"):
                version[0] = "1.37" if name == "d" else version[0]
                await apis.require_current()
                found.append(await tries(apis, kube, name))
            return found

    # Dry, dry without the field, then permanently; and after it is known, dry without the field and permanently.
    assert asyncio.run(run()) == [3, 2, 2, 3]


def test_a_cron_job_of_somebody_else_is_no_success() -> None:
    cron_jobs = paths.cron_jobs_path("dueby")
    made = document("CronJob", owner=names.node_owner("n", "u-2"), namespace="dueby")
    server = KeptObjects({f"{cron_jobs}/a-index": document("CronJob", owner=None, namespace="dueby")})
    assert isinstance(carried_out(server, Add(kind=cron_jobs, document=made)), NameTaken)


@pytest.mark.parametrize(
    ("labels", "raised"),
    [
        pytest.param({"a": "1", "b": "2"}, None, id="ours, by its labels"),
        pytest.param({"a": "2"}, NameTaken, id="somebody else's"),
    ],
)
def test_what_has_no_owner_is_known_by_its_labels(labels: dict[str, str], raised: type[DueByError] | None) -> None:
    made, there = (document("Job", owner=None, labels=each) for each in ({"a": "1"}, labels))
    error = carried_out(KeptObjects({JOB: there}), Add(kind=paths.batch_path("team"), document=made))
    assert error is None if raised is None else isinstance(error, raised)
    if error:
        assert "isn't the operator's: it belongs to nobody" in str(error)


def test_nothing_is_deleted_that_was_made_in_the_place_of_what_was_seen() -> None:
    server = KeptObjects({JOB: document("Job", uid="of-another")})
    assert carried_out(server, Delete(path=JOB, uid="seen")) is None
    assert server.objects.keys() == {JOB}
    assert carried_out(server, Delete(path=JOB, uid="of-another"), Delete(path=JOB, uid="of-another")) is None
    assert not server.objects


def test_nothing_is_changed_that_was_made_in_the_place_of_what_was_seen() -> None:
    server = KeptObjects({JOB: {**document("Job", uid="of-another"), "spec": {"completions": 2}}})
    fields = {"spec": {"completions": 1}}
    assert isinstance(carried_out(server, Change(path=JOB, fields=fields, uid="seen")), Conflict)
    assert server.objects[JOB]["spec"] == {"completions": 2}
    assert carried_out(server, Change(path=JOB, fields=fields, uid="of-another")) is None
    assert server.objects[JOB]["spec"] == {"completions": 1}


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_profile_is_replaced_only_if_the_operator_made_it(is_ours: bool) -> None:
    labels = names.MANAGED if is_ours else {"team": "vision"}
    before = {"metadata": {"name": "p", "uid": "u", "resourceVersion": "7", "labels": labels}, "spec": {"a": 0}}
    server = KeptObjects({PROFILE: before})
    made = {"kind": "GPUProfile", "metadata": {"name": "p", "labels": names.MANAGED}, "spec": {"a": 1}}
    error = carried_out(server, Put(kind=paths.profiles_path(), document=made))
    if is_ours:
        assert error is None
        assert server.objects[PROFILE]["spec"] == {"a": 1}
        assert server.objects[PROFILE]["metadata"]["resourceVersion"] == "7"
    else:
        assert isinstance(error, NameTaken)
        assert server.objects[PROFILE] == before
