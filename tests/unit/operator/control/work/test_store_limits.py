"""What a store gives all of a job's workers together, in the operator's decisions."""

import pytest

from dueby_api.plan import PlannedStore
from dueby_api.store_limits import StoreLimits
from dueby_planner.schedule.lag import LagMemory
from dueby_planner.schedule.request import Start
from dueby_planner.schedule.watch import decide_workers
from support.decisions import NOW, SECOND, indexed, infj, look
from support.operator import model, spec, worker

# A slice does 160 images a second, and the job has 10,000.
SOURCE = {"uri": "s3://photos/catalog/*.jpg"}


def store(images_per_s: int) -> tuple[StoreLimits, ...]:
    """What the chart's values say of the bucket."""
    return (StoreLimits(prefix="s3://photos/", requests_per_second=images_per_s),)


def test_the_charts_stores_bind_a_plan_and_its_status_says_so() -> None:
    document = infj(status=indexed(), source=SOURCE)
    unlimited = look(document).status.plan
    limited = look(document, stores=store(250)).status.plan
    assert unlimited is not None
    assert limited is not None
    assert (unlimited.groups[0].paced, limited.groups[0].paced) == (None, True)
    assert (limited.gpus, limited.store) == (
        2,
        PlannedStore(name="s3://photos/", images_per_second=250.0, planned_images_per_second=250.0, least_seconds=40.0),
    )
    assert "no number of CPU slices is faster than 40" in limited.proof_sentence.lower().replace("cpu", "CPU")


def test_a_job_that_the_store_does_not_feed_in_time_is_refused_with_the_reason() -> None:
    document = infj(status=indexed(), source=SOURCE, deadline="30s", deadlineClass="Hard")
    assert look(document).said("Feasible") == ("True", "Planned")
    refused = look(document, stores=store(250))
    assert refused.said("Feasible") == ("False", "DeadlineTooEarly")
    message = refused.message("Feasible")
    assert "10,000 images in 30s are 333 images/s" in message
    assert "the store s3://photos/ gives 250 images/s" in message
    assert "requests/s from s3://photos/, in place of 250" in message
    assert refused.status.alternatives is not None
    assert (refused.status.alternatives.store_images_per_second or 0) > 333


def test_a_soft_job_that_the_store_does_not_feed_in_time_has_no_more_workers_than_it_feeds() -> None:
    late = look(infj(status=indexed(), source=SOURCE, deadline="30s"), stores=store(250))
    assert late.said("Feasible") == ("False", "Late")
    assert late.status.plan is not None
    assert late.status.plan.gpus == 2


@pytest.mark.parametrize(
    ("limit", "helpers"),
    [
        pytest.param(None, True, id="no limit"),
        pytest.param(320, False, id="the two take all of it"),
        pytest.param(480, True, id="one more"),
    ],
)
def test_helpers_are_started_as_far_as_the_store_feeds_them(limit: int | None, helpers: bool) -> None:
    source = {"uri": "photos"} if limit is None else {"uri": "photos", "limits": {"requestsPerSecond": limit}}
    late = model(
        spec=spec(source=source),
        part_size=100,
        revision=1,
        workers=(worker("w0", first=0, end=50), worker("w1", first=50, end=100)),
        deadline_us=NOW + 20 * SECOND,
        lag=LagMemory(low_readings=1),
    )
    action = decide_workers(late).action
    assert isinstance(action, Start) is helpers
    if limit and isinstance(action, Start):
        assert len(action.assignments) == 1
