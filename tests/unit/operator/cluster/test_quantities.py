"""What a pod asks for in sum."""

from typing import Any

import pytest

from dueby_operator.cluster.quantities import requests_of
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod


def test_a_pod_asks_for_its_containers_or_its_largest_initial_one() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("500m")],
        "initContainers": [container("250m", restartPolicy="Always"), container("4"), container("1")],
        "overhead": {"cpu": "100m"},
    }
    assert requests_of(parse(Pod, {"metadata": {}, "spec": spec}).spec)["cpu"] == pytest.approx(4.35)
