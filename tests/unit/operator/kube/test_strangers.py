"""Pods that say that they are the operator's: how long that is kept of which nobody knows the Job."""

import asyncio
from collections.abc import Mapping

import pytest

from dueby_api.gpu_profile import OwnerReference
from dueby_operator import paths
from dueby_operator.cluster.nodes import PodRow
from dueby_operator.kube.node_table import STRANGER_WAIT_S, Strangers
from dueby_operator.kube.scope import Scope
from dueby_operator.objects.meta import ObjectMeta
from dueby_operator.objects.pods import Pod
from support.control_loop import Clock, Store, reconciler, synthetic


def row(uid: str, *, owner: str, requests: dict[str, float] | None = None) -> PodRow:
    owners = (OwnerReference(api_version="batch/v1", kind="Job", name="a", uid=owner),)
    pod = Pod(metadata=ObjectMeta(name=uid, uid=uid, owner_references=owners))
    return PodRow(node="n" if requests else "", requests=requests or {}, is_worker=True, ours=pod)


@pytest.mark.parametrize(
    ("found", "after_s", "kept"),
    [
        pytest.param(row("p", owner="job"), STRANGER_WAIT_S, {}, id="one of a Job that is listed"),
        pytest.param(row("p", owner="nobody"), STRANGER_WAIT_S - 1, {}, id="one whose Job may be listed yet"),
        pytest.param(row("p", owner="nobody"), STRANGER_WAIT_S, {"p": None}, id="nobody's"),
        pytest.param(
            row("p", owner="nobody", requests={"cpu": 1.0}),
            STRANGER_WAIT_S,
            {"p": PodRow(node="n", requests={"cpu": 1.0})},
            id="nobody's on a node: what it takes",
        ),
    ],
)
def test_of_a_stranger_that_stays_one_only_what_it_takes_is_kept(
    found: PodRow, after_s: float, kept: dict[str, PodRow | None]
) -> None:
    now_s = 0.0
    strangers = Strangers(clock_s=lambda: now_s)
    assert strangers.note([found], owners={"job"}) == {}
    now_s = after_s
    assert strangers.note([found], owners={"job"}) == kept


def test_a_pod_that_was_somebodys_meanwhile_is_waited_for_again() -> None:
    now_s, found = 0.0, row("p", owner="job")
    strangers = Strangers(clock_s=lambda: now_s)
    for owners in (set[str](), {"job"}, set[str]()):
        assert strangers.note([found], owners=owners) == {}
        now_s += STRANGER_WAIT_S


def test_strangers_are_not_kept_and_a_jobs_own_pods_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dueby_operator.kube.node_table.STRANGER_WAIT_S", 0.0)
    store, clock, amended = Store(), Clock(), list[list[str]]()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))
    amend = Scope.amend

    def note(scope: Scope, rows: Mapping[str, PodRow | None]) -> None:
        amended.append(list(rows))
        amend(scope, rows)

    monkeypatch.setattr(Scope, "amend", note)

    async def run() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        pod = next(found for path, found in store.objects.items() if "/pods/" in path)
        forged = pod["metadata"] | {"name": "forged", "uid": "forged", "ownerReferences": []}
        store.add(paths.core_path("pods", "team", "forged"), pod | {"metadata": forged})
        async with reconciler(store, clock, {}) as loop:
            for _ in range(2):
                await loop.reconcile()
            (job,) = loop.snapshot.jobs
            assert job.workers
            assert len(job.pods) == len(job.workers)

    asyncio.run(run())
    assert amended == [[], ["forged"], []]
