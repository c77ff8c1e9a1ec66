"""`dueby plan` on images whose store can't feed all the devices."""

import json
from pathlib import Path

import pytest

from dueby.inputs.stores import stores_here
from dueby_api.store_limits import StoreLimits
from support.plan_command import Plan, plan_command

# An A100 of these tests does 64 images in 14 ms: 4,571 a second.
S3 = {"uri": "s3://bucket/catalog/*.jpg"}


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plan:
    """`dueby plan` on a machine whose environment names no store."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return plan_command(tmp_path, capsys)


def test_the_same_job_takes_more_devices_from_a_disk_than_s3_feeds(plan: Plan) -> None:
    code, out, _ = plan("-o", "json", deadline="30s", images=300_000)
    assert (code, json.loads(out)["gpus"]) == (0, 3)
    assert "store" not in json.loads(out)
    code, out, _ = plan("-o", "json", deadline="30s", images=300_000, source=S3, deadlineClass="Hard")
    answer = json.loads(out)
    assert (code, answer["gpus"]) == (3, None)
    assert answer["store"]["imagesPerSecond"] == 5_500
    assert answer["store"]["leastSeconds"] == pytest.approx(300_000 / 5_500)
    assert set(answer["alternatives"]["extraGPUs"].values()) == {None}
    assert answer["alternatives"]["storeImagesPerSecond"] > 10_000


def test_the_table_says_what_feeds_the_devices_and_how_fast_any_number_can_be(plan: Plan) -> None:
    code, out, _ = plan(images=1_000_000, deadline="5m", source=S3)
    words = " ".join(out.split())
    assert code == 0
    assert "What feeds them: the store s3://bucket gives 5,500 images/s, and the plan takes 4,571 images/s." in words
    assert "No number of GPUs is faster than 3m02s: the store s3://bucket gives 5,500 images/s." in words


def test_a_table_of_devices_that_share_the_store_says_that_they_could_do_more(plan: Plan) -> None:
    code, out, _ = plan(images=1_000_000, deadline="210s", source=S3)
    words = " ".join(out.split())
    assert code == 0
    assert "and the plan takes 5,500 images/s, of 9,143 images/s that the devices could do." in words


def test_a_refusal_names_the_store_and_what_would_help(plan: Plan) -> None:
    code, out, _ = plan(images=2_000_000, deadline="5m", source=S3, deadlineClass="Hard")
    words = " ".join(out.split())
    assert code == 3
    assert "2,000,000 images in 5m00s are 6,667 images/s; no number of GPUs is faster than 6m04s" in words
    assert "requests/s from s3://bucket, in place of 5,500" in words
    assert "tars of which a worker reads many images with one request" in words


def test_the_page_says_it_too(plan: Plan) -> None:
    _, out, _ = plan("-o", "html", images=1_000_000, deadline="5m", source=S3)
    assert "What feeds them: the store s3://bucket gives 5,500 images/s" in out


def test_a_job_s_own_limit_is_in_its_plan(plan: Plan) -> None:
    own = {"uri": "/photos/*.jpg", "limits": {"requestsPerSecond": 1_000}}
    _, out, _ = plan("-o", "json", images=100_000, deadline="5m", source=own)
    assert json.loads(out)["store"]["name"] == "spec.source.limits"
    assert json.loads(out)["groups"][0]["paced"] is True


def test_another_server_that_the_environment_names_has_no_limit() -> None:
    assert stores_here({}) == ()
    assert stores_here({"AWS_ENDPOINT_URL_S3": "http://localhost:9000"}) == (StoreLimits(prefix="s3://"),)
    assert stores_here({"AZURE_STORAGE_USE_EMULATOR": "true"}) == (StoreLimits(prefix="az://"),)
