"""The CronJob that makes an InferenceJob each night: its job is a valid one, and its account may make it."""

import re
from typing import Any

import yaml

from dueby_api.inference_job import parse_job
from support.source_tree import REPOSITORY

MANIFEST = REPOSITORY / "examples" / "nightly" / "cron-job.yaml"
# `kubectl apply` looks for the object, and makes it or changes it.
NEEDED = {"get", "create", "patch"}


def objects() -> dict[str, Any]:
    """Return the manifest's objects by their kind, of which there is one each."""
    found = list(yaml.safe_load_all(MANIFEST.read_text()))
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


def test_the_job_of_a_night_is_valid_adds_to_its_sink_and_goes_by_itself() -> None:
    text = objects()["ConfigMap"]["data"]["job.yaml"]
    job = parse_job(yaml.safe_load(text.replace("NIGHT", "2026-12-01")))
    assert job.metadata.name == "photos-2026-12-01"
    assert job.spec.sink.if_exists == "Append"
    assert job.spec.ttl_after_finished
    definition = yaml.safe_load((REPOSITORY / "crds" / "inferencejobs.yaml").read_text())["spec"]
    (version,) = definition["versions"]
    assert job.api_version == f"{definition['group']}/{version['name']}"
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(yaml.safe_load(text)["spec"]) <= set(fields)
    assert job.spec.sink.if_exists in fields["sink"]["properties"]["ifExists"]["enum"]


def test_its_account_may_do_what_kubectl_apply_and_the_chart_ask_for_and_nothing_else() -> None:
    found = objects()
    cron = found["CronJob"]["spec"]
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    account, role = found["ServiceAccount"]["metadata"]["name"], found["Role"]
    assert pod["serviceAccountName"] == account
    assert found["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    assert found["RoleBinding"]["roleRef"]["name"] == role["metadata"]["name"]
    definition = yaml.safe_load((REPOSITORY / "crds" / "inferencejobs.yaml").read_text())["spec"]
    jobs, pods = role["rules"]
    assert jobs["apiGroups"] == [definition["group"]]
    assert jobs["resources"] == [definition["names"]["plural"]]
    assert set(jobs["verbs"]) == NEEDED
    # The chart's policy refuses jobs from whoever may not make what they make.
    assert pods == {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


def test_the_pod_mounts_the_job_that_it_applies() -> None:
    found = objects()
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (_, _, script) = container["command"]
    (path,) = re.findall(r"/job/\S+", script)
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes[mounts["/job"]]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert path.removeprefix("/job/") in found["ConfigMap"]["data"]
