"""Whatever a tenant writes into a manifest is a job that can be reckoned with, or Invalid with its field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, JobSpec, parse_job
from dueby_operator.cluster.nodes import free_devices
from dueby_operator.cluster.requests import tolerations_of, worker_requests
from dueby_operator.jobs.manifests import Owner, step_objects
from support.decisions import NOW, SETTINGS, infj, node

WORDS = ["name", "uri", "requests", "limits", "cpu", "key", "value", "valueFrom", "mountPath", "max", "classes"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner),
    max_leaves=15,
)
NAMED = st.fixed_dictionaries({"name": st.text()}, optional={"a": JSON})
FIELDS = sorted(JobSpec.__struct_encode_fields__)
WORKER_FIELDS = ["env", "envFrom", "resources", "tolerations", "volumes", "volumeMounts", "labels", "nodeSelector"]
AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.text("0123456789.eEmGi-") | JSON)


def reckon(document: dict[str, Any]) -> InferenceJob | None:
    """The job, if it is one, once it was reckoned with as the operator does."""
    try:
        job = parse_job(document)
    except Invalid:
        return None
    asked = worker_requests(job.spec, SETTINGS, "cpu-2")
    assert free_devices([node()], "cpu-2", requests=asked, tolerations=tolerations_of(job.spec)) >= 0
    assert job.spec.deadline_us(accepted_us=NOW) > -(10**15)
    assert job.spec.allowed_failures(10**12) >= 0
    made = step_objects(Owner(job=job, namespace="team", uid="u"), SETTINGS, "index")
    assert json.dumps([made.config_map, made.job])
    return job


@given(st.sampled_from(FIELDS), JSON)
def test_any_value_of_any_field(field: str, value: Any) -> None:
    reckon(infj(**{field: value}))


@given(st.sampled_from(WORKER_FIELDS), JSON | st.lists(NAMED))
def test_any_value_of_any_field_of_the_worker(field: str, value: Any) -> None:
    reckon(infj(worker={field: value}))


@given(AMOUNTS, AMOUNTS)
def test_any_amounts(requests: Any, limits: Any) -> None:
    reckon(infj(worker={"resources": {"requests": requests, "limits": limits}}))


@given(JSON)
def test_any_document(document: Any) -> None:
    with pytest.raises(Invalid):
        parse_job(document)


@pytest.mark.parametrize("spec", [{"maxFailedImages": "1%\n"}, {"queueName": "night\n"}, {"deadline": "10m\n"}])
def test_a_line_end_after_a_value_is_not_passed_over(spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=rf"^spec\.{next(iter(spec))}: "):
        parse_job(infj(**spec))
