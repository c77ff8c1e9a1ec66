"""One decision for all jobs: their order, what one leaves for the next, and what a second pass changes."""

from dueby_api.units import format_time
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.decide import decide
from support.decisions import NOW, SECOND, cluster, indexed, infj, job, look, look_at, started


def devices_of(left: object) -> ClusterDevices:
    assert isinstance(left, ClusterDevices)
    return left


def test_what_is_planned_is_taken_from_what_is_free() -> None:
    found = look(infj(status=indexed()))
    (create,) = found.created
    left = devices_of(found.decisions.left.devices)
    assert left.unscheduled["cpu-1"] == create.job["spec"]["completions"]


def test_jobs_are_served_by_deadline_and_have_what_those_before_them_leave() -> None:
    def named(name: str, deadline: str) -> dict[str, object]:
        metadata = {"name": name, "uid": f"u-{name}"}
        return infj(status=indexed(), metadata=metadata, deadline=deadline, deadlineClass="Soft", gpus={"max": 5})

    late, early = job(named("late", "20s")), job(named("early", "10s"))
    found = look_at(cluster(late, early))
    assert [each.decision.job.name for each in found] == ["early", "late"]
    assert [[create.job["spec"]["completions"] for create in each.created] for each in found] == [[4], [4]]
    assert devices_of(found[0].decisions.left.devices).unscheduled["cpu-1"] == 8


def test_the_devices_that_were_seen_are_not_changed_by_a_decision() -> None:
    seen = cluster(job(infj(status=indexed())))
    before = dict(devices_of(seen.devices).unscheduled)
    assert decide(seen).jobs[0].actions
    assert devices_of(seen.devices).unscheduled == before
    assert look_at(seen)[0].writes == look_at(seen)[0].writes


def test_a_second_look_at_an_unchanged_cluster_changes_nothing() -> None:
    begun = started()
    first = look(begun.job())
    document = {**begun.document, "status": first.status.document()}
    second = look(begun.job(document=document, memory=first.memory), now_us=NOW + SECOND)
    assert (second.writes, second.status) == ((), first.status)


def test_the_clock_of_a_job_begins_once_whatever_clocks_do_since() -> None:
    first = look(infj(metadata={"creationTimestamp": format_time(NOW + 3600 * SECOND)}))
    assert (first.status.accepted_time, first.status.deadline_time) == (
        format_time(NOW),
        format_time(NOW + 60 * SECOND),
    )
    document = infj(metadata={"creationTimestamp": format_time(NOW + 3600 * SECOND)}, status=first.status.document())
    second = look(document, now_us=NOW + 10 * SECOND)
    assert second.status.deadline_time == first.status.deadline_time


def test_a_job_that_is_over_or_on_its_way_out_is_not_decided_on() -> None:
    over = infj(status=indexed(conditions=[_condition("Complete"), _condition("Indexed")]))
    deleting = infj(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert not look_at(cluster(job(over), job(deleting)))


def _condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
