"""Index: is the source listed and frozen, so that N is known?"""

import json
from typing import Any

import pytest

from dueby_api.agreement import Agreement
from dueby_api.schema import validate
from dueby_api.status import JobStatus, read_status
from dueby_operator.model.writes import Create
from support.decisions import FIRST_WORKERS, MADE, indexed, infj, job, look, pod_of
from support.operator import profile
from support.stored import raw


def ended(create: Create, message: str, *, code: int = 0) -> dict[str, Any]:
    """The step's pod once it has ended with these words."""
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": MADE}}
    return pod_of(
        create, phase="Failed" if code else "Succeeded", containerStatuses=[{"name": "dueby", "state": state}]
    )


def ended_job(create: Create, condition: str) -> dict[str, Any]:
    return {**create.job, "status": {"conditions": [{"type": condition, "status": "True"}]}}


def test_a_new_job_is_indexed_first() -> None:
    found = look(infj())
    assert [name.rpartition("-")[0] for name in found.started_names] == ["job-index"]
    assert found.said("Indexed") == ("False", "Indexing")
    assert found.status.phase == "Indexing"


@pytest.mark.parametrize(
    ("change", "first"),
    [
        pytest.param({"source": {"synthetic": {}}}, FIRST_WORKERS, id="of the model's size: nothing to list or sample"),
        pytest.param(
            {"source": {"synthetic": {"width": 224, "height": 224}}}, FIRST_WORKERS, id="the same, in numbers"
        ),
        pytest.param({"source": {"synthetic": {"width": 640}}}, "job-index", id="resized: what that costs is sampled"),
        pytest.param(
            {"source": {"synthetic": {}}, "sink": {"uri": "rows", "ifExists": "Overwrite"}},
            "job-index",
            id="Overwrite: the sink is emptied first",
        ),
        pytest.param(
            {"source": {"synthetic": {}}, "sink": {"uri": "rows", "ifExists": "Fail"}},
            "job-index",
            id="Fail: the sink is looked at first",
        ),
    ],
)
def test_synthetic_images_are_indexed_only_where_there_is_something_to_do(change: dict[str, Any], first: str) -> None:
    (name,) = look(infj(images=1000, **change)).started_names
    assert name.startswith(first)


def test_workers_without_an_index_step_are_told_n_and_no_fingerprint() -> None:
    found = look(infj(images=1000, source={"synthetic": {}}))
    (create,) = found.created
    told = json.loads(create.config_map["data"]["config.json"])
    assert (told["images"], told["fingerprint"]) == (1000, None)
    assert found.said("Indexed") == ("True", "Indexed")
    assert found.status.images == 1000


def test_what_the_step_has_found_is_recorded_and_the_job_goes_on_to_its_plan() -> None:
    (step,) = look(infj()).created
    words = json.dumps({"images": 5000, "fingerprint": "f", "inputCost": {"decodeMicros": 900}})
    found = look(job(infj(), steps={"index": ended_job(step, "Complete")}, pods=[ended(step, words)]))
    assert (found.status.images, found.status.fingerprint) == (5000, "f")
    assert found.status.input_cost is not None
    assert found.status.input_cost.decode_us == 900
    assert found.started_names == [FIRST_WORKERS]


def test_how_far_int8_is_from_fp32_is_recorded_and_the_plan_warns_of_it_in_place_of_the_profiles() -> None:
    spec = {"model": {"name": "efficientnet_lite0", "precision": "int8"}}
    agreement = {"photos": 64, "sameTop1": 0.9375, "maxDifference": 0.2, "weightsDigest": "0123456789abcdef"}
    of_others = validate(Agreement, {**agreement, "photos": 900, "sameTop1": 0.5})
    plain = profile()
    model = plain.spec.model.replace(precision="int8")
    measured = plain.replace(spec=plain.spec.replace(model=model, agreement=of_others))
    (step,) = look(infj(**spec), profiles=(measured,)).created
    for share, warns in ((0.9375, True), (0.96, False)):
        words = json.dumps({"images": 5000, "fingerprint": "f", "agreement": {**agreement, "sameTop1": share}})
        ended_step = job(infj(**spec), steps={"index": ended_job(step, "Complete")}, pods=[ended(step, words)])
        found = look(ended_step, profiles=(measured,))
        sentence = f"{share:.1%} of 64 photos have fp32's best class, its probability differs by up to 0.2"
        assert found.status.agreement is not None
        assert (found.status.agreement.photos, found.status.agreement.same_top1) == (64, share)
        assert found.message("Indexed") == f"5,000 images. At int8, {sentence}."
        # Each change of a condition is an Event.
        assert [event.message for event in found.decision.events if event.reason == "Indexed"] == [
            found.message("Indexed")
        ]
        assert found.status.plan is not None
        said = [warning for warning in found.status.plan.warnings if "fp32's best class" in warning]
        assert said == ([f"at int8, {sentence} (weights 0123456789ab)"] if warns else [])
        # The operator that comes after this one reads it in the status.
        assert read_status(JobStatus, raw(found.status.document())).agreement == found.status.agreement


def test_what_the_sink_holds_already_is_recorded_and_only_the_rest_is_planned() -> None:
    (step,) = look(infj()).created
    found = {}
    for there in ("", "0-899"):
        words = json.dumps({"images": 10_000, "fingerprint": "f", "partSize": 10, "partsThere": there})
        found[there] = look(job(infj(), steps={"index": ended_job(step, "Complete")}, pods=[ended(step, words)]))
    status = found["0-899"].status
    assert (status.part_size, status.parts_there) == (10, "0-899")
    assert status.progress is None or status.progress.images_done == 9_000
    plans = {there: each.status.plan for there, each in found.items()}
    assert plans["0-899"]
    assert plans[""]
    assert plans["0-899"].part_size == 10
    assert plans["0-899"].gpus < plans[""].gpus
    (create,) = found["0-899"].created
    shares = [worker["share"] for worker in json.loads(create.config_map["data"]["config.json"])["workers"]]
    assert (shares[0][0], shares[-1][1]) == (900, 1000)


def test_a_source_that_cannot_be_read_ends_the_job_in_the_steps_words() -> None:
    (step,) = look(infj()).created
    pod = ended(step, '{"field": "spec.source.uri", "error": "photos is no folder"}', code=2)
    found = look(job(infj(), steps={"index": step.job}, pods=[pod]))
    assert found.said("Failed") == ("True", "IndexFailed")
    assert found.said("Indexed") == ("False", "SourceUnreadable")
    assert "photos is no folder" in found.message("Failed")
    assert not found.writes


def test_what_keeps_the_steps_pod_from_starting_is_said() -> None:
    (step,) = look(infj()).created
    lost = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    pod = pod_of(step, phase="Pending", conditions=[lost])
    found = look(job(infj(), steps={"index": step.job}, pods=[pod]))
    assert found.said("Indexed") == ("False", "Indexing")
    assert found.message("Indexed") == "0/1 nodes are available"
    assert not found.writes


def test_a_store_that_the_step_cannot_reach_is_said_while_it_is_tried_again() -> None:
    (step,) = look(infj()).created
    gave_up = ended(step, '{"error": "spec.source.uri: the images can\'t be listed: connection refused"}', code=75)
    found = look(job(infj(), steps={"index": step.job}, pods=[gave_up, pod_of(step)]))
    assert found.said("Indexed") == ("False", "Indexing")
    assert found.message("Indexed") == (
        "The index step is tried again. Its last try ended with: spec.source.uri: the images can't be listed: "
        "connection refused"
    )
    assert not found.writes


def test_a_job_that_is_indexed_starts_no_step() -> None:
    assert look(infj(status=indexed())).started_names == [FIRST_WORKERS]
