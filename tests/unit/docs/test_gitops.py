"""What Git's operators read of an InferenceJob's status."""

from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]

from dueby_api.conditions import ConditionType
from dueby_api.schema import validate
from dueby_api.status import JobStatus
from support.source_tree import REPOSITORY

EXAMPLES = REPOSITORY / "examples" / "gitops"
LATE = {"type": "OnTrack", "status": "False", "reason": "Late", "message": "two minutes late"}
FAILED = {"type": "Failed", "status": "True", "reason": "NoProgress", "message": "workers crash"}


def health(job: dict[str, Any]) -> tuple[str, str]:
    """Return the status and the message that Argo CD shows, whose Lua is 5.1 with the object as `obj`."""
    config = yaml.safe_load((EXAMPLES / "argocd-cm.yaml").read_text())
    (script,) = config["data"].values()
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(job, recursive=True)
    shown = lua.execute(script)
    return shown["status"], shown["message"]


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        pytest.param({}, None, ("Progressing", "Waiting for the operator"), id="new"),
        pytest.param({}, {"phase": "Running"}, ("Progressing", "Running"), id="running"),
        pytest.param(
            {}, {"phase": "Running", "conditions": [LATE]}, ("Progressing", "Running: two minutes late"), id="late"
        ),
        pytest.param({"suspend": True}, {"phase": "Queued"}, ("Suspended", "Queued"), id="suspended"),
        pytest.param({"suspend": True}, {"phase": "Succeeded"}, ("Healthy", "Succeeded"), id="done"),
        pytest.param({}, {"phase": "Failed", "conditions": [FAILED]}, ("Degraded", "workers crash"), id="failed"),
    ],
)
def test_argo_cd_shows_what_the_status_says(
    spec: dict[str, Any], status: dict[str, Any] | None, shown: tuple[str, str]
) -> None:
    assert health({"spec": spec} | ({} if status is None else {"status": status})) == shown


def test_the_examples_name_the_kind_the_phases_and_the_conditions_that_there_are() -> None:
    definition = yaml.safe_load((REPOSITORY / "crds" / "inferencejobs.yaml").read_text())["spec"]
    group, kind = definition["group"], definition["names"]["kind"]
    (key,) = yaml.safe_load((EXAMPLES / "argocd-cm.yaml").read_text())["data"]
    assert key == f"resource.customizations.health.{group}_{kind}"
    flux = yaml.safe_load((EXAMPLES / "flux.yaml").read_text())["spec"]
    (check,) = flux["healthCheckExprs"]
    assert {(each["apiVersion"], each["kind"]) for each in (check, *flux["healthChecks"])} == {
        (f"{group}/{definition['versions'][0]['name']}", kind)
    }
    assert {LATE["type"], FAILED["type"]} <= {condition.value for condition in ConditionType}
    for status in ({"phase": "Succeeded"}, {"phase": "Failed"}):
        assert validate(JobStatus, status).phase in check["current"] + check["failed"]
