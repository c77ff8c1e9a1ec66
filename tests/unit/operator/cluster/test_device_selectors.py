"""Which devices a DeviceClass selects: conjunctions of equalities are read, and nothing else is guessed at."""

import pytest

from dueby_operator.cluster.resource_slices import read_selector
from dueby_operator.objects.parse import parse
from dueby_operator.objects.resource_slices import DeviceClass, PublishedDevice
from support.resource_slices import DRIVER, GPUS, device_class, gpu, mig

IS_MIG = 'device.attributes["gpu.nvidia.com"].type=="mig"'


def selected(*expressions: str) -> list[str] | None:
    """The names of those that are selected; None if that can't be read."""
    selector = read_selector(parse(DeviceClass, device_class("c", *expressions)))
    if selector is None:
        return None
    devices = [parse(PublishedDevice, each) for each in (gpu(0), mig(1, 0), mig(1, 1, profile="2g.10gb"))]
    return [device.name for device in devices if selector.selects(device, driver=DRIVER)]


@pytest.mark.parametrize(
    ("expressions", "names"),
    [
        pytest.param([GPUS], ["gpu-0"], id="NVIDIA's own"),
        pytest.param([IS_MIG], ["gpu-1-mig-1g5gb-19-0", "gpu-1-mig-2g10gb-19-1"], id="other quotes and no spaces"),
        pytest.param(
            [f"{IS_MIG}\n&& device.attributes['gpu.nvidia.com'].profile == '1g.5gb'"],
            ["gpu-1-mig-1g5gb-19-0"],
            id="on two lines",
        ),
        pytest.param(["device.driver == 'gpu.nvidia.com'", GPUS], ["gpu-0"], id="several, all of which hold"),
        pytest.param(["device.driver == 'gpu.example.com'"], [], id="another driver"),
        pytest.param(["device.attributes['example.com'].type == 'gpu'"], [], id="another domain"),
        pytest.param(["device.attributes['resource.kubernetes.io'].pciBusID == '0000:00:00.0'"], ["gpu-0"], id="given"),
        pytest.param(["device.attributes['gpu.nvidia.com'].driverVersion == '580.126.20'"], [], id="no text"),
    ],
)
def test_what_is_read_selects_as_the_scheduler_does(expressions: list[str], names: list[str]) -> None:
    assert selected(*expressions) == names


@pytest.mark.parametrize(
    "expression",
    [
        f"{GPUS} || {IS_MIG}",
        f"!({GPUS})",
        "device.driver != 'gpu.nvidia.com'",
        "device.attributes['gpu.nvidia.com'].productName.lowerAscii().matches('^.*a100.*$')",
        r"device.driver == 'gpu\x2envidia.com'",
        "device.driver == 'a' && ",
        "",
    ],
)
def test_of_what_is_not_read_nothing_is_said(expression: str) -> None:
    assert selected(expression) is None
    assert selected(GPUS, expression) is None
