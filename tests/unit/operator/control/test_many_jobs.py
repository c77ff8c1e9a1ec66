"""What many objects of one tenant cost: work in proportion to their number, and the other tenant waits for none."""

import cProfile
import pstats

from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.snapshot import ClusterSnapshot
from many_jobs import Case, after, job_texts, made_up_nodes, profile_documents, snapshot


def seen(case: Case) -> ClusterSnapshot:
    return snapshot(job_texts(case), profile_documents(case), made_up_nodes(case.nodes))


def counted(cluster: ClusterSnapshot) -> tuple[Decisions, int]:
    """Decide, and count the calls of functions: unlike seconds, these are the same on every machine."""
    with cProfile.Profile() as profile:
        decisions = decide(cluster)
    return decisions, pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def test_four_times_the_jobs_take_little_more_than_four_times_the_work() -> None:
    calls = []
    for jobs in (200, 800):
        first, of_first = counted(cluster := seen(Case(kind="alike", jobs=jobs, nodes=20)))
        _, of_second = counted(after(cluster, first))
        calls.append((of_first, of_second))
    (few, few_kept), (many, many_kept) = calls
    assert many < 4.2 * few
    assert many_kept < 4.2 * few_kept
