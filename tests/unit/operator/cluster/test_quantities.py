"""Kubernetes quantities as numbers, and what a pod asks for in sum."""

from typing import Any

import pytest

from dueby_operator.cluster.quantities import quantity, requests_of
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("4", 4), ("2Gi", 2**31), ("1e3", 1000), ("1.5k", 1500), (3, 3)]
)
def test_a_quantity_is_read(text: str | int, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "4 Gi", "many", "4GiB"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


def test_a_pod_asks_for_its_containers_or_its_largest_initial_one() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("500m")],
        "initContainers": [container("250m", restartPolicy="Always"), container("4"), container("1")],
        "overhead": {"cpu": "100m"},
    }
    assert requests_of(parse(Pod, {"metadata": {}, "spec": spec}).spec)["cpu"] == pytest.approx(4.35)
