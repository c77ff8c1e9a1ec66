"""What a job's workers have seen of their store's limit: kept in its status, for its next plan and for later jobs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.status import JobStatus, ObservedStore
from dueby_api.store_limits import AS_SEEN
from dueby_api.units import format_time
from dueby_operator.control.work.stores import VALID_US, observed_by_store
from support.decisions import NOW, SECOND, Look, Started, a_batch, cluster, indexed, infj, job, look, look_at, started

SOURCE = {"uri": "s3://photos/catalog/*.jpg"}
Document = dict[str, Any]


def status_of(rate: float, *, store: str = "s3://photos", workers: int = 2, ago_us: int = SECOND) -> Document:
    """What was seen before, as the status says it."""
    time = format_time(NOW - ago_us)
    return {"store": store, "requestsPerSecond": rate, "workers": workers, "time": time}


def begun(rates: Sequence[float | None], before: Document | None = None) -> tuple[Started, Look]:
    """Return a job with a worker for each of these rates, and what is decided once they have reported them."""
    first = started(deadline="90s", source=SOURCE, gpus={"max": len(rates), "reserve": len(rates) - 1})
    names = [pod["metadata"]["name"] for pod in first.pods]
    assert len(names) == len(rates)
    status = first.document["status"] | ({"observedStore": before} if before else {})
    reports = {
        name: a_batch(worker=f"w{place}", **({} if rate is None else {"observedRequestsPerSecond": rate}))
        for place, (name, rate) in enumerate(zip(names, rates, strict=True))
    }
    return first, look(first.job(document=first.document | {"status": status}, progress=reports))


@pytest.mark.parametrize(
    ("rates", "before", "rate", "workers"),
    [
        pytest.param([40.0, 60.0], None, 100.0, 2, id="what all got together"),
        pytest.param([40.0, None], None, 80.0, 2, id="those that were refused nothing got as much"),
        pytest.param([40.0, None, None], None, None, None, id="most were refused nothing"),
        pytest.param([None, None], None, None, None, id="nobody was refused anything"),
        pytest.param([None, None], status_of(300), 300.0, 2, id="what was seen stays"),
        pytest.param([40.0, 60.0], status_of(300), 100.0, 2, id="as many see less"),
        pytest.param([40.0, 60.0], status_of(300, workers=3), 300.0, 3, id="fewer see less, for they ask for less"),
        pytest.param([200.0, 200.0], status_of(300, workers=3), 400.0, 2, id="fewer see more"),
        pytest.param([48.0, 60.0], status_of(100), 100.0, 2, id="hardly anything has changed"),
        pytest.param([40.0, 60.0], status_of(300, store="s3://other", workers=9), 100.0, 2, id="of another store"),
    ],
)
def test_what_workers_got_together_is_kept(
    rates: list[float | None], before: Document | None, rate: float | None, workers: int | None
) -> None:
    _, seen = begun(rates, before)
    found = seen.status.observed_store
    if rate is None:
        assert found is None
    else:
        assert found is not None
        assert (found.store, found.requests_per_second, found.workers) == ("s3://photos", rate, workers)


def test_the_job_itself_is_planned_by_it() -> None:
    _, seen = begun([40.0, 60.0])
    assert seen.decision.scheduled
    assert seen.decision.scheduled.feed is not None
    assert seen.decision.scheduled.feed.images_per_s == 5_500
    document = infj(status=indexed(observedStore=status_of(250)), source=SOURCE)
    plan = look(document).status.plan
    assert plan is not None
    assert plan.store is not None
    assert (plan.gpus, plan.groups[0].paced) == (2, True)
    assert (plan.store.name, plan.store.images_per_second) == ("s3://photos (as workers have seen it)", 250)
    assert "the store s3://photos (as workers have seen it) gives 250 images/s." in plan.proof_sentence


@pytest.mark.parametrize(
    ("spec", "rate", "workers"),
    [
        pytest.param({"source": SOURCE}, 100.0 + 2 * 160, 4, id="a request for each of its images"),
        pytest.param(
            {"source": {"uri": "s3://photos/x.tar"}}, 100.0 + 2 * 160 / 50, 4, id="images that are read together"
        ),
        pytest.param({"source": {"uri": "s3://others/"}}, 100.0, 2, id="another store"),
        pytest.param({"source": SOURCE, "metadata": {"namespace": "others"}}, 100.0, 2, id="another namespace's jobs"),
    ],
)
def test_what_another_job_took_meanwhile_is_counted(spec: Document, rate: float, workers: int) -> None:
    first, _ = begun([40.0, 60.0])
    metadata = {"namespace": "team", **spec.get("metadata", {}), "name": "other", "uid": "o-1"}
    other = started(
        **{**spec, "metadata": metadata}, deadline="90s", sink={"uri": "other"}, gpus={"max": 2, "reserve": 1}
    )
    reports = {
        pod["metadata"]["name"]: a_batch(worker=f"w{place}", observedRequestsPerSecond=seen)
        for place, (pod, seen) in enumerate(zip(first.pods, (40.0, 60.0), strict=True))
    }
    others = {pod["metadata"]["name"]: a_batch(worker=f"w{place}") for place, pod in enumerate(other.pods)}
    looks = look_at(cluster(first.job(progress=reports), other.job(progress=others)))
    found = next(look for look in looks if look.decision.job.name == "job").status.observed_store
    assert found is not None
    assert (found.requests_per_second, found.workers) == (rate, workers)


def test_two_jobs_share_what_was_seen_of_their_store() -> None:
    """A core classifies 160 photos a second: the store feeds two of the eight, and each job asks for two."""
    jobs = [
        job(infj(status=indexed(observedStore=status_of(320)), source=SOURCE, **other))
        for other in ({}, {"metadata": {"name": "second", "uid": "s-1"}, "sink": {"uri": "second"}})
    ]
    looks = look_at(cluster(*jobs))
    assert sorted(sum(create.job["spec"]["completions"] for create in look.created) for look in looks) == [0, 2]


def observed_by_others(*others: tuple[str, Document], **spec: Any) -> float | None:
    """Return what a new job is planned with whose namespace or another one has jobs that saw this."""
    new = infj(status=indexed(), **{"source": SOURCE, **spec})
    jobs = [job(new)]
    for place, (namespace, seen) in enumerate(others):
        metadata = {"name": f"other-{place}", "uid": f"o-{place}", "namespace": namespace}
        sink = {"uri": f"rows-{place}"}
        other = infj(status=indexed(observedStore=seen), metadata=metadata, sink=sink, suspend=True)
        jobs.append(job(other))
    (found,) = (look for look in look_at(cluster(*jobs)) if look.decision.job.key == ("team", "job"))
    assert found.decision.scheduled is not None
    return found.decision.scheduled.observed_requests


@pytest.mark.parametrize(
    ("others", "rate"),
    [
        pytest.param([("team", status_of(250))], 250, id="of the namespace"),
        pytest.param(
            [("team", status_of(9)), ("team", status_of(8, ago_us=0)), ("team", status_of(7))], 8, id="newest"
        ),
        pytest.param([("others", status_of(250))], None, id="another namespace's word isn't taken"),
        pytest.param([("team", status_of(250, store="s3://photos2"))], None, id="another bucket"),
        pytest.param([("team", status_of(250, ago_us=VALID_US + SECOND))], None, id="long ago"),
    ],
)
def test_later_jobs_of_the_namespace_are_planned_by_it(others: list[tuple[str, Document]], rate: float | None) -> None:
    assert observed_by_others(*others) == rate


def fed(*, starts_us: int = NOW, paced: bool = True, name: str = "s3://photos" + AS_SEEN, **status: Any) -> JobStatus:
    """Return the status of a job that is done, and that was planned by what had been seen."""
    plan = look(infj(status=indexed(observedStore=status_of(250)), source=SOURCE)).status.plan
    assert plan is not None
    assert plan.store is not None
    groups = tuple(group.replace(paced=paced or None) for group in plan.groups)
    plan = plan.replace(groups=groups, store=plan.store.replace(name=name))
    return JobStatus(phase="Succeeded", plan=plan, starts=format_time(starts_us)).replace(**status)


REFUSED = ObservedStore(store="s3://photos", requests_per_second=90.0, workers=2, time=format_time(NOW - 9 * SECOND))


@pytest.mark.parametrize(
    ("later", "rate"),
    [
        pytest.param([], 200.0, id="what was seen"),
        pytest.param([fed()], 220.0, id="a job took all of it and was refused nothing"),
        pytest.param([fed(), fed(), fed()], 260.0, id="three did"),
        pytest.param([fed(starts_us=NOW - 9 * SECOND)], 200.0, id="a job of before"),
        pytest.param([fed(paced=False)], 200.0, id="a job that could not take all of it"),
        pytest.param([fed(name="s3://photos")], 200.0, id="a job that somebody else's limit held back"),
        pytest.param([fed(phase="Failed")], 200.0, id="a job that failed"),
        pytest.param([fed(phase="Running")], 200.0, id="a job that isn't done"),
        pytest.param([fed(observed_store=REFUSED)], 200.0, id="a job that was refused more"),
    ],
)
def test_what_was_seen_recovers_over_jobs_that_were_refused_nothing(later: list[JobStatus], rate: float) -> None:
    saw = ObservedStore(store="s3://photos", requests_per_second=200.0, workers=2, time=format_time(NOW - SECOND))
    jobs = [job(infj(source=SOURCE))] * (1 + len(later))
    statuses = [JobStatus(observed_store=saw), *later]
    snapshots = [replace(each, status=status) for each, status in zip(jobs, statuses, strict=True)]
    (seen,) = observed_by_store(snapshots, now_us=NOW).values()
    assert seen == saw.replace(requests_per_second=rate)


@pytest.mark.parametrize("time", ["tomorrow", "2023-13-45T29:99:99Z", "2023-11-14T22:13:19", "", "9" * 5000])
def test_a_status_with_a_time_that_is_none_is_as_if_nothing_was_seen(time: str) -> None:
    assert observed_by_others(("team", status_of(250) | {"time": time})) is None
    own = infj(status=indexed(observedStore=status_of(250) | {"time": time}), source=SOURCE)
    assert look(own).status.observed_store is None
    assert look(own).created


def test_images_that_are_read_from_anywhere_have_no_store() -> None:
    source = {"manifest": {"uri": "s3://photos/list.csv", "anyHost": True}}
    assert observed_by_others(("team", status_of(250)), source=source) is None


def test_a_status_is_read_as_it_is_written() -> None:
    found = ObservedStore(store="s3://photos", requests_per_second=250.5, workers=2, time=format_time(NOW))
    assert found.document() == status_of(250.5, ago_us=0)
