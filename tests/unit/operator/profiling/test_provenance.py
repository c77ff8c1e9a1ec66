"""The driver that a node had when it was measured: read from labels of several kinds, compared by its numbers."""

import pytest

from dueby_api.gpu_profile import Device
from dueby_operator.profiling.provenance import driver_of
from support.drift import DRIVER, OWN, measured_site, with_driver
from support.profiling import gpu_node


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
