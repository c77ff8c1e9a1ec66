"""From the snapshots of passes to the samples that Prometheus reads."""

import re
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

from dueby_api.budgets import NamespaceBudget
from dueby_api.plan import PlannedGroup
from dueby_api.status import Condition, DevicesSince, JobStatus, PlanStatus, ProgressStatus, Replan, SpentStatus
from dueby_api.units import format_exact_time
from dueby_operator import paths
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.web.metrics import Metrics, verb_and_resource
from dueby_planner.model.cost import Price, Tariff
from support.decisions import MADE, cluster, infj, job
from support.operator import plan_status

NOW_US = 1_795_600_000_000_000
LABELS = ("namespace", "inferencejob", "device_class", "phase", "reason", "verb", "resource", "code", "le")
Samples = dict[str, dict[tuple[str, ...], float]]


def new(name: str = "catalog", **status: Any) -> JobSnapshot:
    """A job whose status says only this."""
    document = infj(metadata={"name": name, "namespace": "shop", "uid": f"uid-of-{name}"})
    return replace(job(document), status=JobStatus(**status))


def plan(*groups: tuple[str, int]) -> PlanStatus:
    """A plan with so many devices of each class."""
    return plan_status(
        "2026-11-25T10:08:00Z",
        gpus=sum(count for _, count in groups),
        proof="ClosedForm",
        solve_micros=6600,
        finish_at_confidence="2026-11-25T10:09:00Z",
        slack="2m00s",
        groups=tuple(
            PlannedGroup(device_class=name, engine="eager", count=count, mini_batch_size=16, iterations=10)
            for name, count in groups
        ),
    )


def progress(images_done: int, **more: Any) -> ProgressStatus:
    return ProgressStatus(images=f"{images_done}/1k", images_done=images_done, **more)


def running(name: str = "catalog", **changes: Any) -> JobSnapshot:
    """A job in the middle of its work."""
    status = {
        "phase": "Running",
        "deadline_time": "2026-11-25T10:10:00Z",
        "images": 1000,
        "plan": plan(("cpu-1", 2), ("a100", 1)),
        "progress": progress(400, images_failed=3, images_per_second=150, expected_finish="2026-11-25T10:08:30Z"),
    }
    return new(name, **{**status, **changes})


def over(name: str = "catalog", *, met: bool = True, **changes: Any) -> JobSnapshot:
    conditions = (
        Condition(type="DeadlineMet", status="True" if met else "False", reason="Late", last_transition_time=MADE),
        Condition(type="Complete", status="True", reason="EveryImageHasARow", last_transition_time=MADE),
    )
    return running(name, phase="Succeeded", conditions=conditions, **changes)


def replanned(*reasons: str) -> tuple[Replan, ...]:
    return tuple(
        Replan(time=f"2026-11-25T10:0{minute}:00Z", reason=reason, before=1, after=2)
        for minute, reason in enumerate(reasons)
    )


def snapshot(*jobs: JobSnapshot, pods: Sequence[Pod] = ()) -> ClusterSnapshot:
    """The jobs; the pods are of the job `catalog`, and of its Jobs `cpu`, `gpu`, `catalog-index` and `measure`."""
    classes = {"cpu": "cpu-1", "gpu": "a100", "measure": "l4"}
    batch = {
        name: parse(BatchJob, {"metadata": {"name": name, "annotations": {names.DEVICE_CLASS: device_class}}})
        for name, device_class in classes.items()
    }
    index = parse(BatchJob, {"metadata": {"name": "catalog-index"}})
    workers = [WorkerJob(job=batch[name], revision=1, assignments=()) for name in ("cpu", "gpu")]
    shown = [
        replace(found, worker_jobs=workers, profiling=[batch["measure"]], steps={"index": index}, pods=pods)
        if found.name == "catalog"
        else found
        for found in jobs
    ]
    return cluster(*shown, now_us=NOW_US)


def pod(of: str, phase: str = "Running") -> Pod:
    return parse(Pod, {"metadata": {"labels": {names.JOB_OF_POD: of}}, "status": {"phase": phase}})


def samples(metrics: Metrics) -> Samples:
    """What a scrape reads: values by name and by the labels' values, in the order of LABELS."""
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.page()):
        for sample in family.samples:
            labels = tuple(sample.labels[label] for label in LABELS if label in sample.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def shown(*passes: ClusterSnapshot) -> Samples:
    """What a scrape reads after these passes."""
    metrics = Metrics()
    for seen in passes:
        metrics.record_reconcile(seen, seconds=0.2)
    return samples(metrics)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("dueby_job_deadline_timestamp_seconds", 1_795_601_400, id="its deadline in seconds since 1970"),
        pytest.param("dueby_job_slack_seconds", 90, id="the deadline less the finish as it is seen now"),
        pytest.param("dueby_job_probability_ratio", 0.97, id="the plan's probability"),
        pytest.param("dueby_job_plan_seconds", 0.0066, id="the time that planning took in seconds"),
        pytest.param("dueby_job_images", 1000, id="its images"),
        pytest.param("dueby_job_images_done", 400, id="those with a row"),
        pytest.param("dueby_job_images_failed", 3, id="those with an error"),
        pytest.param("dueby_job_images_per_second", 150, id="the speed of all workers"),
        pytest.param("dueby_job_replans", 0, id="its replans"),
    ],
)
def test_of_a_running_job_is_shown(name: str, value: float) -> None:
    assert shown(snapshot(running()))[name] == {("shop", "catalog"): value}


def test_a_plan_that_was_made_together_with_others_has_no_time_of_its_own() -> None:
    together = plan(("cpu-1", 2)).replace(solve_micros=None)
    assert "dueby_job_plan_seconds" not in shown(snapshot(running(plan=together)))


@pytest.mark.parametrize(
    "reported", [pytest.param(None, id="no progress"), pytest.param(progress(0), id="no finish expected")]
)
def test_before_anything_was_seen_the_plan_says_when_to_expect_the_end(reported: ProgressStatus | None) -> None:
    assert shown(snapshot(running(progress=reported)))["dueby_job_slack_seconds"] == {("shop", "catalog"): 120}


def test_a_late_job_has_a_negative_slack() -> None:
    late = progress(1, expected_finish="2026-11-25T10:11:00Z")
    assert shown(snapshot(running(progress=late)))["dueby_job_slack_seconds"] == {("shop", "catalog"): -60}


def test_jobs_are_counted_by_phase_and_phases_without_jobs_are_0() -> None:
    counted = shown(snapshot(running("a"), running("b"), over("c"), new("new")))["dueby_jobs"]
    assert {phase: count for (phase,), count in counted.items() if count} == {
        "Running": 2,
        "Succeeded": 1,
        "Pending": 1,
    }
    assert counted["Failed",] == 0


def test_devices_are_those_of_the_plan_and_those_whose_pod_runs() -> None:
    pods = [pod("cpu"), pod("cpu", "Pending"), pod("cpu", "Succeeded"), pod("catalog-index")]
    found = shown(snapshot(running(), pods=pods))
    assert found["dueby_job_gpus_planned"] == {("shop", "catalog", "cpu-1"): 2, ("shop", "catalog", "a100"): 1}
    assert found["dueby_job_gpus_running"] == {("shop", "catalog", "cpu-1"): 1, ("shop", "catalog", "a100"): 0}


def test_a_helper_of_a_class_that_was_not_planned_is_shown_too() -> None:
    found = shown(snapshot(running(plan=plan(("cpu-1", 1))), pods=[pod("cpu"), pod("gpu")]))
    assert found["dueby_job_gpus_running"] == {("shop", "catalog", "cpu-1"): 1, ("shop", "catalog", "a100"): 1}


def test_a_device_that_is_being_measured_for_the_job_is_shown_too() -> None:
    found = shown(snapshot(new(), pods=[pod("measure"), pod("catalog-index")]))
    assert found["dueby_job_gpus_running"] == {("shop", "catalog", "l4"): 1}


def test_a_job_that_is_over_holds_no_devices_and_has_no_slack_but_keeps_its_images() -> None:
    found = shown(snapshot(over()))
    assert found["dueby_job_images_done"] == {("shop", "catalog"): 400}
    assert found["dueby_job_deadline_met"] == {("shop", "catalog"): 1}
    absent = ("slack_seconds", "probability_ratio", "images_per_second", "gpus_planned", "gpus_running")
    assert not {f"dueby_job_{name}" for name in absent} & found.keys()


def test_a_deleted_job_vanishes() -> None:
    found = shown(snapshot(running("a"), running("b")), snapshot(running("b")))
    assert {labels for name in found if name.startswith("dueby_job_") for labels in found[name]} >= {("shop", "b")}
    assert not [name for name, values in found.items() if any("a" in labels for labels in values)]


def test_a_job_of_which_nothing_is_known_is_only_counted() -> None:
    found = shown(snapshot(new()))
    assert found["dueby_jobs"]["Pending",] == 1
    assert {name for name in found if name.startswith("dueby_job_")} == {"dueby_job_replans"}


@pytest.mark.parametrize(
    ("passes", "misses"),
    [
        pytest.param([running(), over(met=False)], 1, id="a job that turned out late"),
        pytest.param([running(), over(met=False), over(met=False)], 1, id="once, however many passes see it"),
        pytest.param([running(), over()], 0, id="not a job in time"),
        pytest.param([over(met=False), over(met=False)], 0, id="not what was so before this operator began"),
    ],
)
def test_a_miss_is_counted(passes: list[JobSnapshot], misses: int) -> None:
    assert shown(*map(snapshot, passes))["dueby_deadline_misses_total"] == {(): misses}


def test_replans_are_counted_by_reason_each_once() -> None:
    passes = [
        running(),
        running(replans=replanned("Lagging")),
        running(replans=replanned("Lagging", "WorkerLost", "Lagging")),
        running(replans=replanned("Lagging", "WorkerLost", "Lagging")[1:]),
    ]
    counted = shown(*map(snapshot, passes))["dueby_replans_total"]
    assert {reason: count for (reason,), count in counted.items() if count} == {"Lagging": 2, "WorkerLost": 1}
    assert counted["Ahead",] == 0


def test_what_jobs_cost_is_counted_by_namespace_until_now_and_no_second_of_it_twice() -> None:
    tariff = Tariff(currency="EUR", prices={"a100": Price(hourly=3600 * 10**6)})
    metrics, begun_us = Metrics(), NOW_US

    def seen(at_s: int, *jobs: JobSnapshot) -> float | None:
        now_us = begun_us + at_s * 10**6
        metrics.record_reconcile(replace(snapshot(*jobs), now_us=now_us, tariff=tariff), seconds=0.1)
        return metrics.registry.get_sample_value("dueby_cost_total", {"namespace": "shop", "currency": "EUR"})

    held = (DevicesSince(device_class="a100", count=2, since=format_exact_time(begun_us)),)
    paying = running(spent=SpentStatus(currency="EUR", micro_units=7_000_000, held=held))
    paid = over(spent=SpentStatus(currency="EUR", micro_units=50_000_000))
    assert seen(5, paying) is None, "nobody knows what is new in the first pass"
    assert seen(15, paying) == 20
    assert seen(21, paid) == 33
    assert seen(30, paid) == 33
    newer = replace(over("newer", spent=SpentStatus(currency="EUR", micro_units=1)), created_us=begun_us + 31 * 10**6)
    assert seen(33, paid, newer) == pytest.approx(33.000001)


def test_how_much_of_its_budget_a_namespace_uses_is_shown_while_it_has_one() -> None:
    tariff = Tariff(currency="EUR", prices={"a100": Price(hourly=3600 * 10**6)})
    metrics = Metrics()

    def used(**budgets: NamespaceBudget) -> dict[str, float]:
        before = snapshot(
            over(spent=SpentStatus(currency="EUR", micro_units=17_000_000, device_seconds={"a100": 18.0}))
        )
        metrics.record_reconcile(replace(before, tariff=tariff, budgets=budgets), seconds=0.1)
        family = next(each for each in metrics.registry.collect() if each.name == "dueby_budget_used_ratio")
        assert {sample.labels["namespace"] for sample in family.samples} <= {"shop"}
        return {sample.labels["limit"]: sample.value for sample in family.samples}

    assert used(shop=NamespaceBudget(window="1h", cost="34 EUR")) == {"cost": pytest.approx(17 / 34)}
    both = NamespaceBudget(window="1h", cost="17 EUR", device_hours=0.01)
    assert used(shop=both) == {"cost": pytest.approx(1), "deviceHours": pytest.approx(18 / 36)}
    assert used(other=both) == {}


def test_a_pass_shows_how_long_it_took_and_when_it_ended() -> None:
    found = shown(snapshot(), snapshot())
    assert found["dueby_last_successful_reconcile_timestamp_seconds"] == {(): NOW_US / 1e6 + 0.2}
    assert found["dueby_reconcile_duration_seconds_count"] == {(): 2}
    assert found["dueby_reconcile_duration_seconds_sum"] == {(): pytest.approx(0.4)}


@pytest.mark.parametrize(
    ("method", "path", "verb", "resource"),
    [
        ("GET", paths.core_path("pods"), "list", "pods"),
        ("GET", paths.core_path("nodes") + "?limit=500", "list", "nodes"),
        ("GET", paths.core_path("configmaps", "shop", "catalog-r1"), "get", "configmaps"),
        ("GET", "/api/v1/namespaces", "list", "namespaces"),
        ("GET", "/api/v1/namespaces/shop", "get", "namespaces"),
        ("POST", paths.batch_path("shop"), "create", "jobs"),
        ("PATCH", paths.batch_path("shop", "catalog-r1"), "patch", "jobs"),
        ("DELETE", paths.core_path("pods", "shop", "p"), "delete", "pods"),
        ("PUT", paths.jobs_path("shop", "catalog", "status"), "update", "inferencejobs/status"),
        ("WATCH", paths.core_path("pods"), "watch", "pods"),
        ("GET", "/version", "list", "/version"),
    ],
)
def test_a_request_is_named_as_in_rbac_rules(method: str, path: str, verb: str, resource: str) -> None:
    assert verb_and_resource(method, path) == (verb, resource)


def test_requests_are_counted_by_verb_resource_and_code() -> None:
    metrics = Metrics()
    for code in (200, 200, 409, None):
        metrics.count_request("PUT", paths.jobs_path("shop", "catalog", "status"), code)
    assert samples(metrics)["dueby_api_requests_total"] == {
        ("update", "inferencejobs/status", "200"): 2,
        ("update", "inferencejobs/status", "409"): 1,
        ("update", "inferencejobs/status", "<error>"): 1,
    }


def test_every_family_has_a_help_text_and_a_name_as_prometheus_wants_it() -> None:
    metrics = Metrics()
    metrics.record_reconcile(snapshot(running(), over("b")), seconds=0.2)
    ours = [family for family in metrics.registry.collect() if family.name.startswith("dueby_")]
    assert len(ours) > 15
    for family in ours:
        assert family.documentation.endswith("."), family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]+", family.name)
        assert ("seconds" in family.documentation) == ("seconds" in family.name) or family.type == "counter"
        labels = Counter(label for sample in family.samples for label in sample.labels)
        assert not labels.keys() & {"job", "instance"}, f"{family.name}: Prometheus has these labels itself"


def test_a_scrape_is_answered() -> None:
    metrics = Metrics()
    metrics.record_reconcile(snapshot(running()), seconds=0.2)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as page:
            assert 'dueby_job_images{inferencejob="catalog",namespace="shop"} 1000.0' in page.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
