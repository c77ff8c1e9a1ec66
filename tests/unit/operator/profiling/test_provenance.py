"""The driver that a node had when it was measured: read from labels of several kinds, compared by its numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from dueby_api.gpu_profile import Device
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.provenance import driver_of, with_time_of
from support.drift import DRIVER, OWN, measured_site, with_driver
from support.profiling import gpu_node, measured


@pytest.mark.parametrize(
    ("labels", "version"),
    [
        pytest.param({DRIVER: "580.95.05"}, "580.95.05", id="whole"),
        pytest.param(
            {f"nvidia.com/cuda.driver-version.{part}": number for part, number in (("major", "580"), ("minor", "95"))},
            "580.95",
            id="in parts",
        ),
        pytest.param(
            {f"nvidia.com/cuda.driver.{part}": n for part, n in (("major", "470"), ("minor", "57"), ("rev", "02"))},
            "470.57.02",
            id="in parts as they were called before",
        ),
        pytest.param({}, "", id="not at all"),
    ],
)
def test_the_driver_is_read_from_labels(labels: dict[str, str], version: str) -> None:
    assert driver_of(gpu_node(labels=labels)) == version


@pytest.mark.parametrize(
    ("measured", "label", "is_same"),
    [
        pytest.param("580.95.05", "580.95", True, id="fewer parts"),
        pytest.param("580.95.05", "580.95.5", True, id="a zero less"),
        pytest.param("580.95.05", "580.105.08", False, id="another"),
        pytest.param("580.95.05", "", True, id="no label"),
        pytest.param(None, "580.95.05", True, id="taken from the label"),
    ],
)
def test_a_driver_is_compared_by_its_numbers(measured: str | None, label: str, is_same: bool) -> None:
    site = measured_site(with_driver(label), device=Device(driver=measured))
    assert (site.condition(OWN).status == "True") is is_same


@pytest.mark.parametrize(
    ("hours", "kept"),
    [
        pytest.param(1, True, id="an hour after the pod was made"),
        pytest.param(-1, False, id="before it was made"),
        pytest.param(24 * 365, False, id="in a year"),
    ],
)
def test_a_time_that_the_pod_cannot_have_measured_at_is_that_of_the_pod(hours: int, kept: bool) -> None:
    made = datetime(2026, 11, 25, tzinfo=UTC)
    said = made + timedelta(hours=hours)
    pod = parse(Pod, {"metadata": {"name": "p", "creationTimestamp": "2026-11-25T00:00:00Z"}})
    assert with_time_of(pod, measured(measured_at=said).spec).measured_at == (said if kept else made)
    assert with_time_of(pod, measured(measured_at=None).spec).measured_at == made
