"""What became of jobs, as Prometheus reads it after several passes of the operator."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from dueby_api.conditions import Reason
from dueby_api.status import JobStatus
from dueby_api.units import format_time
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.web.metrics import Metrics
from support.decisions import NOW, SECOND, cluster, indexed, infj, job, look, node

Values = dict[tuple[str, ...], float]
NEW = job(infj(status=indexed(), deadlineClass="Hard"))


def after(seen: JobSnapshot, *reasons: Reason) -> JobSnapshot:
    """The job once its status has these reasons, too."""
    new = [NewCondition(reason=reason) for reason in reasons]
    found = merge_conditions(seen.status.conditions, new, generation=1, now_us=NOW)
    return replace(seen, status=seen.status.replace(conditions=found))


def seen(metrics: Metrics, *jobs: JobSnapshot, at_s: int = 0, **unused: int) -> None:
    """Make a pass."""
    named = {name.replace("_", "-"): count for name, count in unused.items()}
    snapshot: ClusterSnapshot = cluster(*jobs, now_us=NOW + at_s * SECOND)
    metrics.record_reconcile(snapshot, seconds=0.1, unused=named)


def of_pool(uid: str, *, workers: int) -> Node:
    """A node of the pool with so many workers."""
    return replace(node(uid), uid=uid, pool="burst", workers={"cpu": float(workers)})


def values(metrics: Metrics, name: str) -> Values:
    """The samples of this name that aren't 0, by their labels' values."""
    families = text_string_to_metric_families(metrics.page())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.value}


def test_promises_and_refusals_are_counted() -> None:
    metrics = Metrics()
    promised = after(NEW, Reason.RESERVED)
    for each in (NEW, promised, after(promised, Reason.MISSED), after(promised, Reason.MISSED)):
        seen(metrics, each)
    assert values(metrics, "dueby_promises_made_total") == {(): 1}
    assert values(metrics, "dueby_promises_broken_total") == {("Late",): 1}
    assert values(metrics, "dueby_promises_kept_total") == {}
    other = replace(after(NEW, Reason.PROMISED_TO_OTHERS, Reason.INFEASIBLE), uid="u-2", name="other")
    seen(metrics, after(promised, Reason.MISSED), other)
    assert values(metrics, "dueby_refusals_total") == {("PromisedToOthers",): 1}


def test_an_operator_that_starts_again_counts_what_ends_and_not_what_began_before() -> None:
    metrics = Metrics()
    promised = after(NEW, Reason.PLANNED)
    seen(metrics, promised)
    seen(metrics, after(promised, Reason.MET, Reason.EVERY_IMAGE_HAS_A_ROW))
    assert values(metrics, "dueby_promises_made_total") == {}
    assert values(metrics, "dueby_promises_kept_total") == {(): 1}


def test_a_job_whose_namespace_was_left_out_for_a_while_is_not_counted_again() -> None:
    metrics = Metrics()
    seen(metrics, NEW, at_s=60)
    late = after(after(NEW, Reason.RESERVED), Reason.MISSED)
    for at_s, jobs in enumerate([[late], [], [late], [late]], start=61):
        seen(metrics, *jobs, at_s=at_s)
    assert values(metrics, "dueby_promises_made_total") == {(): 1}
    assert values(metrics, "dueby_promises_broken_total") == {("Late",): 1}
    assert values(metrics, "dueby_deadline_misses_total") == {(): 1}


def test_starts_and_waiting_are_counted_by_deadline_class() -> None:
    metrics = Metrics()
    seen(metrics, NEW)
    begun: JobStatus = look(NEW).status
    assert begun.plan
    seen(metrics, replace(NEW, status=begun.replace(starts=format_time(NOW + 40 * SECOND))))
    assert values(metrics, "dueby_workers_started_total") == {("Hard",): begun.plan.gpus}
    assert values(metrics, "dueby_wait_seconds_sum") == {("Hard",): 40}
    assert values(metrics, "dueby_wait_seconds_count") == {("Hard",): 1}


def test_idle_devices_are_counted_for_the_time_until_the_next_pass() -> None:
    metrics = Metrics()
    seen(metrics, NEW, at_s=0, cpu_1=3)
    assert values(metrics, "dueby_idle_device_seconds_total") == {}
    seen(metrics, NEW, at_s=2, cpu_1=1)
    seen(metrics, NEW, at_s=4)
    seen(metrics, NEW, at_s=9)
    assert values(metrics, "dueby_idle_device_seconds_total") == {("cpu-1",): 8}


def test_nodes_of_a_pool_are_counted_from_the_end_of_their_last_worker_until_they_go() -> None:
    metrics = Metrics()
    for at_s, nodes in (
        (0, [of_pool("new", workers=0), of_pool("a", workers=4), replace(node("day"), uid="day")]),
        (10, [of_pool("new", workers=0), of_pool("a", workers=1), of_pool("b", workers=4)]),
        (20, [of_pool("a", workers=0), of_pool("b", workers=0)]),
        (25, [of_pool("a", workers=0), of_pool("b", workers=2)]),
        (27, [of_pool("b", workers=2)]),
        (40, [of_pool("a", workers=0)]),
        (50, []),
    ):
        there = {each.name: each for each in nodes}
        metrics.record_reconcile(cluster(NEW, nodes=there, now_us=NOW + at_s * SECOND), seconds=0.1)
    assert values(metrics, "dueby_pool_idle_node_seconds_total") == {("burst",): 2 * 5 + 2}
