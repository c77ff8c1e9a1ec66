"""Turn: is the job one of those of its namespace that are planned now?"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

import pytest

from dueby_operator.control.policies.turn import MAX_IN_A_PASS, MAX_PLANNED, beyond_a_pass, without_turn
from dueby_operator.model.job_snapshot import JobSnapshot
from support.decisions import cluster, indexed, infj, job, look, look_at, started


@cache
def planned() -> dict[str, Any]:
    """The status of a job with a plan."""
    return look(infj(status=indexed())).status.document()


def jobs(count: int, *, namespace: str = "team", first: int = 0, **more: Any) -> list[JobSnapshot]:
    """Jobs with a minute and a second more for each, numbered from the first one."""
    spec = {name: value for name, value in more.items() if name != "status"}
    return [
        job(
            infj(
                metadata={"name": f"job-{number}", "namespace": namespace, "uid": f"u-{namespace}-{number}"},
                deadline=f"{60 + number}s",
                status=more.get("status", indexed()),
                **spec,
            )
        )
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize(
    ("before", "waiting"),
    [
        pytest.param(list, False, id="alone"),
        pytest.param(lambda: jobs(MAX_PLANNED - 1), False, id="fewer jobs before it"),
        pytest.param(lambda: jobs(MAX_PLANNED), True, id="as many jobs before it as are planned"),
        pytest.param(lambda: jobs(MAX_PLANNED, namespace="other"), False, id="jobs of another namespace"),
        pytest.param(lambda: jobs(MAX_PLANNED, suspend=True), False, id="suspended jobs"),
        pytest.param(lambda: jobs(MAX_PLANNED, status=planned()), True, id="planned jobs before it"),
    ],
)
def test_a_job_has_its_turn_when_few_of_its_namespace_are_before_it(
    before: Callable[[], list[JobSnapshot]], waiting: bool
) -> None:
    (last,) = jobs(1, first=MAX_PLANNED)
    assert (last.key in without_turn([*before(), last])) is waiting


@pytest.mark.parametrize(
    ("changed", "waiting"),
    [
        pytest.param(dict, True, id="a new one"),
        pytest.param(lambda: {"status": planned()}, False, id="one with a plan"),
        pytest.param(lambda: {"suspend": True}, False, id="a suspended one"),
    ],
)
def test_what_is_promised_is_planned_whatever_is_before_it(
    changed: Callable[[], dict[str, Any]], waiting: bool
) -> None:
    (last,) = jobs(1, first=MAX_PLANNED, **changed())
    assert (last.key in without_turn([*jobs(MAX_PLANNED), last])) is waiting


def test_planned_jobs_count_although_their_deadlines_are_later() -> None:
    (first, *_), later = jobs(1), jobs(MAX_PLANNED, first=1, status=planned())
    assert without_turn([first, *later]) == {first.key}


def test_a_job_with_workers_is_planned_whatever_is_before_it() -> None:
    begun = started().job()
    assert begun.workers
    lost_plan = replace(begun, status=begun.status.replace(plan=None))
    assert lost_plan.key not in without_turn([*jobs(MAX_PLANNED), lost_plan])


def test_a_job_that_waits_for_its_turn_says_so_and_makes_nothing() -> None:
    *planned, last = look_at(cluster(*jobs(MAX_PLANNED + 1)))
    assert last.said("Admitted") == ("False", "TooManyJobs")
    assert last.status.phase == "Queued"
    assert last.status.message == last.message("Admitted")
    assert f"{MAX_PLANNED} jobs of the namespace team are planned" in last.message("Admitted")
    assert not last.writes
    assert not any("TooManyJobs" in str(look.status.conditions) for look in planned)


def test_a_job_whose_turn_has_come_no_longer_says_that_it_waits_for_it() -> None:
    waiting = look_at(cluster(*jobs(MAX_PLANNED + 1)))[-1]
    found = look(infj(status=waiting.status.document(), source={"uri": "photos"}))
    assert found.status.plan
    assert "TooManyJobs" not in str(found.status.conditions)


def seen_again(jobs: list[JobSnapshot], later: frozenset[tuple[str, str]]) -> list[JobSnapshot]:
    """The jobs as the next pass sees them."""
    left_out = {job.key: job.memory.left_out + 1 if job.key in later else 0 for job in jobs}
    return [replace(job, memory=replace(job.memory, left_out=left_out[job.key])) for job in jobs]


def test_of_many_namespaces_each_has_as_many_in_a_pass_and_a_small_one_has_all() -> None:
    small, *large = jobs(3, namespace="small"), *(jobs(MAX_PLANNED, namespace=f"team-{n}") for n in range(4))
    later = beyond_a_pass([*small, *chain(*large)], frozenset())
    planned = [[job.key not in later for job in own] for own in (small, *large)]
    assert all(planned[0])
    assert sum(map(sum, planned)) == MAX_IN_A_PASS
    counts = [sum(own) for own in planned[1:]]
    assert max(counts) - min(counts) <= 1
    # Of each those with the earliest deadlines.
    assert all(own == sorted(own, reverse=True) for own in planned)


def test_what_is_begun_comes_before_what_is_new() -> None:
    new, begun = jobs(MAX_IN_A_PASS), jobs(3, first=MAX_IN_A_PASS, status=planned())
    assert not beyond_a_pass([*new, *begun], frozenset()) & {job.key for job in begun}


def test_each_job_is_decided_on_in_one_of_the_passes_that_all_need() -> None:
    everybody = [*jobs(2 * MAX_IN_A_PASS, status=planned()), *jobs(MAX_IN_A_PASS, namespace="other")]
    reached: set[tuple[str, str]] = set()
    for _ in range(4):
        later = beyond_a_pass(everybody, frozenset())
        assert len(everybody) - len(later) == MAX_IN_A_PASS
        reached |= {job.key for job in everybody} - later
        everybody = seen_again(everybody, later)
    assert reached == {job.key for job in everybody}


def test_those_that_wait_for_their_turn_or_are_suspended_take_no_place_in_a_pass() -> None:
    held = jobs(MAX_IN_A_PASS, namespace="held", suspend=True)
    waiting, own = jobs(MAX_IN_A_PASS, namespace="waiting"), jobs(MAX_IN_A_PASS)
    assert not beyond_a_pass([*held, *waiting, *own], {job.key for job in waiting})
