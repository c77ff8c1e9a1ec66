"""What many objects of one tenant cost: work in proportion to their number, and the other tenant waits for none."""

import cProfile
import pstats
import time
from collections import Counter

import pytest

from dueby_api.schema import Raw
from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.policies.turn import MAX_PLANNED
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.kube.read_job import read_job
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from many_jobs import NOW_US, OTHER, Case, after, job_texts, made_up_nodes, profile_documents, read_jobs, snapshot

# A pass takes a third of it on a machine with nothing else to do.
MAX_S = 5.0


def seen(case: Case) -> ClusterSnapshot:
    jobs, _ = read_jobs(job_texts(case))
    return snapshot(jobs, profile_documents(case), made_up_nodes(case.nodes))


def counted(cluster: ClusterSnapshot) -> tuple[Decisions, int]:
    """Decide, and count the calls of functions: unlike seconds, these are the same on every machine."""
    with cProfile.Profile() as profile:
        decisions = decide(cluster)
    return decisions, pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def test_four_times_the_jobs_take_little_more_than_four_times_the_work() -> None:
    calls = []
    for jobs in (100, 400):
        first, of_first = counted(cluster := seen(Case(kind="alike", jobs=jobs, nodes=20)))
        _, of_second = counted(after(cluster, first))
        calls.append((of_first, of_second))
    (few, few_kept), (many, many_kept) = calls
    assert many < 4.2 * few
    assert many_kept < 4.2 * few_kept


@pytest.mark.parametrize("kind", ["tolerations", "hostnames"])
def test_jobs_that_each_tolerate_or_select_something_else_do_not_look_at_each_node_for_themselves(kind: str) -> None:
    (_, on_few), (_, on_many) = (counted(seen(Case(kind=kind, jobs=100, nodes=nodes))) for nodes in (100, 500))
    assert on_many < 1.5 * on_few


def test_ten_thousand_jobs_of_one_tenant_take_a_pass_seconds_and_the_other_tenant_waits_for_none() -> None:
    case = Case(kind="alike", jobs=10_000, nodes=20)
    jobs = [read_job(parse(StoredJob, Raw(text)), {}, now_us=NOW_US) for text in job_texts(case)]
    cluster = snapshot(jobs, profile_documents(case), made_up_nodes(case.nodes))
    began_s = time.process_time()
    decisions = decide(cluster)
    assert time.process_time() - began_s < MAX_S
    of_other = next(decision for decision in decisions.jobs if decision.job.namespace == OTHER)
    assert of_other.status.plan
    phases = Counter(decision.status.phase for decision in decisions.jobs)
    assert phases["Queued"] >= 10_000 - MAX_PLANNED


def test_jobs_for_which_a_pass_has_no_time_keep_what_they_have_and_come_first_in_the_next() -> None:
    cluster = seen(Case(kind="alike", jobs=8, nodes=1))
    first = decide(cluster)
    some = decide(cluster := after(cluster, first), has_time=iter([True] * 5 + [False] * 4).__next__)
    left_out = {decision.job.key for decision in some.jobs if decision.memory.left_out}
    statuses = {decision.job.key: decision.status for decision in first.jobs}
    assert len(left_out) == 4
    for decision in some.jobs:
        assert decision.status.plan
        if decision.job.key in left_out:
            assert (decision.status, decision.actions) == (statuses[decision.job.key], ())
    rest = decide(after(cluster, some), has_time=iter([True] * 5 + [False] * 4).__next__)
    assert not left_out & {decision.job.key for decision in rest.jobs if decision.memory.left_out}
