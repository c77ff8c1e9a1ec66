"""What containers ask for and may use: never without a limit of memory, and never more asked for than may be used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.inference_job import parse_job
from dueby_api.pod_fields import WorkerResources
from dueby_api.quantities import quantity
from dueby_operator.cluster.requests import container_resources, worker_requests
from dueby_operator.settings import OperatorSettings
from support.decisions import infj

SETTINGS = OperatorSettings(image="dueby/worker:1")
GIB = 2**30
USUAL = {"cpu": "2", "memory": "2Gi", "nvidia.com/gpu": "1"}
LIMITS = {"cpu": "2", "nvidia.com/gpu": "1"}
amounts = st.sampled_from(["0", "1", "500m", "1Gi", "2Gi", "3.5Gi", "64Gi", "1e30", "0.3"]) | st.integers(0, 10**25)
own_amounts = st.dictionaries(st.sampled_from(["cpu", "memory"]), amounts)


def resources(*, factor: float = 4.0, **own: Any) -> WorkerResources:
    settings = OperatorSettings(image="dueby/worker:1", memory_limit_factor=factor)
    return container_resources(WorkerResources(**own), settings, requests=USUAL, limits=LIMITS)


@pytest.mark.parametrize(
    ("own", "memory"),
    [
        pytest.param({}, ("2Gi", "8192Mi"), id="nothing said: four times what is asked for"),
        pytest.param({"requests": {"memory": "16Gi"}}, ("16Gi", "65536Mi"), id="of the job's own request as well"),
        pytest.param({"requests": {"memory": "1Gi"}}, ("1Gi", "8192Mi"), id="of a small one no less than usual"),
        pytest.param({"requests": {"memory": 0}}, (0, "8192Mi"), id="nothing asked for"),
        pytest.param({"limits": {"memory": "3Gi"}}, ("2Gi", "3Gi"), id="the job's own limit"),
        pytest.param({"limits": {"memory": "1Gi"}}, ("1Gi", "1Gi"), id="one below the usual request lowers that"),
        pytest.param({"requests": {"memory": "1e30"}}, ("1e30", "1e30"), id="more than there is"),
    ],
)
def test_memory_has_a_limit(own: dict[str, Any], memory: tuple[object, str]) -> None:
    found = resources(**own)
    assert (found.requests["memory"], found.limits["memory"]) == memory


def test_the_factor_is_a_setting() -> None:
    assert resources(factor=1.5).limits["memory"] == "3072Mi"


def test_a_usual_limit_of_cores_follows_the_jobs_request() -> None:
    assert resources(requests={"cpu": "4"}).limits["cpu"] == "4"
    assert resources(requests={"cpu": "500m"}).limits["cpu"] == "2"


def test_of_a_device_there_is_as_much_as_the_plan_says() -> None:
    assert resources(requests={"memory": "4Gi"}).limits["nvidia.com/gpu"] == "1"


@given(own_amounts, own_amounts)
def test_no_more_is_asked_for_than_may_be_used(requests: dict[str, Any], limits: dict[str, Any]) -> None:
    found = resources(requests=requests, limits=limits)
    for name in {"cpu", "memory"} - (requests.keys() & limits.keys()):  # with both, the job says it so
        assert quantity(found.requests[name]) <= quantity(found.limits[name])


def test_a_plan_counts_what_the_pods_will_have() -> None:
    own = {"limits": {"memory": "1Gi", "cpu": "1"}}
    spec = parse_job(infj(worker={"resources": own})).spec
    asked = worker_requests(spec, SETTINGS, "NVIDIA-L4")
    assert asked == {"cpu": 1.0, "memory": GIB, "pods": 1.0, "limits.memory": GIB, "limits.cpu": 1.0}
