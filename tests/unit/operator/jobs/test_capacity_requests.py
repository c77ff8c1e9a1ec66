"""The objects by which nodes are asked for, as the definitions want them that an autoscaler brings."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dueby_operator.model.writes import Add
from support.decisions import SETTINGS, Document, indexed, infj, job, look, worker_job_of
from support.node_pools import pool


def asked(ask: str) -> Document:
    """What asks for the nodes of a job's workers."""
    at = replace(SETTINGS, node_pools=(pool(ask=ask),))
    first = look(infj(status=indexed(), deadline="2h"), nodes={}, settings=at)
    (create,) = first.created
    seen = job(infj(status=first.status.document(), deadline="2h"), worker_jobs=[worker_job_of(create)])
    _, request = look(seen, nodes={}, settings=at).writes
    assert isinstance(request, Add)
    return request.document


def strict(schema: Any) -> Any:
    """The schema without fields that an API server would drop silently."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: strict(each) for name, each in schema.items()}
    return {**known, "additionalProperties": False} if "properties" in schema else known


@pytest.mark.definitions
@pytest.mark.parametrize(
    ("ask", "definition"),
    [
        ("ProvisioningRequest", "DUEBY_PROVISIONING_REQUESTS"),
        ("CapacityBuffer", "DUEBY_CAPACITY_BUFFERS"),
    ],
)
def test_what_asks_for_nodes_is_what_the_autoscaler_defines(ask: str, definition: str) -> None:
    crd, document = yaml.safe_load(Path(os.environ[definition]).read_text()), asked(ask)
    assert crd["spec"]["names"]["kind"] == document["kind"]
    group, _, name = document["apiVersion"].partition("/")
    assert crd["spec"]["group"] == group
    (version,) = (each for each in crd["spec"]["versions"] if each["name"] == name)
    assert version["served"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    jsonschema.validate(document, schema)
    wrong = {**document, "spec": {**document["spec"], "replica": 1}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
