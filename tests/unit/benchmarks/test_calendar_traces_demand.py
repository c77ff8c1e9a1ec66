"""What jobs need of the GPU time at least, in benchmarks/calendar_traces_demand.py, on cases that are made by hand."""

import pytest

from calendar_traces_cluster import Cluster, Job
from calendar_traces_demand import Margins, demanded
from support.traces import QUIET, SECOND, job


def test_what_jobs_demand_is_of_the_tightest_cut_with_the_one_that_has_arrived() -> None:
    cluster, works = Cluster(gpus=2, noise=QUIET, seed=1), (500, 800, 900)
    first, second, later = cluster.jobs = [Job(asked=job(str(work), work, deadline_s=2 * work)) for work in works]
    assert demanded(first, cluster) == pytest.approx((2200 + 3 * 59) / 3600)
    cluster.jobs.remove(later)
    assert demanded(first, cluster) == demanded(second, cluster) == pytest.approx((1300 + 2 * 59) / 3200)
    cluster.start(first, 1)
    assert demanded(second, cluster) == pytest.approx((1300 + 59) / 3200)
    cluster = Cluster(gpus=4, noise=QUIET, seed=1)
    cluster.jobs = [both := Job(asked=job("both", 1800, deadline_s=1000))]
    assert demanded(both, cluster) == pytest.approx((1800 + 2 * 59) / 4000)
    assert demanded(both, cluster, Margins(late_us=50 * SECOND)) == pytest.approx((1800 + 3 * 109) / 4000)
    assert demanded(both, cluster, Margins(rate=0.1)) == pytest.approx((1800 / (1 - 0.1 / 3**0.5) + 3 * 59) / 4000)
    # One GPU's margin would ask for three; that of two is smaller, and two are enough.
    cluster.jobs = [two := Job(asked=job("two", 1700, deadline_s=1000))]
    assert demanded(two, cluster, Margins(rate=0.12)) == pytest.approx((1700 / (1 - 0.12 / 2**0.5) + 2 * 59) / 4000)


def test_a_job_that_has_to_wait_for_others_demands_as_many_starts_as_the_rest_of_its_time_takes() -> None:
    cluster = Cluster(gpus=2, noise=QUIET, seed=1)
    first, second = (Job(asked=job(str(work), work, deadline_s=end)) for work, end in ((1880, 1000), (980, 2000)))
    cluster.jobs = [second]
    assert demanded(second, cluster) == pytest.approx((980 + 59) / 4000)
    # The first one leaves two seconds of its 2,000, and after them a GPU alone has a thousand.
    cluster.jobs = [first, second]
    assert demanded(first, cluster) == pytest.approx((1880 + 2 * 59) / 2000)
    assert demanded(second, cluster) == pytest.approx((1880 + 2 * 59 + 980 + 2 * 59) / 4000)
