"""A node with a GPU that only the scheduler believes in: measured by its CronJob, and by nobody on another node."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kind.cluster import OPERATOR_NAMESPACE, Cluster
from support.kind.cluster_job import indices_of, job, share_photos
from support.kind.forger import forged, remove_forger, start_forger
from support.kind.gpus import add_gpus, remove_gpus, set_gpus
from support.kind.images import WORKER_IMAGE
from support.kind.many_steps import job_of_many_steps, rows_of_many_steps
from support.kind.model import MODEL
from support.lanes import CONTROL_PLANE, nodes_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
CLASS, DRIVER = "NVIDIA-T4", "nvidia.com/cuda.driver-version.full"
# An engine on CPUs, since there is no GPU behind the label: what is measured are the cores beside it.
ASKED = {**MODEL, "imageSize": 72}
NAME = f"nvidia-t4-mobilenet-v3-small-72-fp32-{MODEL['engine']}"
(HERE,), ELSEWHERE = nodes_of("test_node_profiles"), CONTROL_PLANE
IMAGES = 60
JOBS_AT_ONCE, TIMES_SHORTER, LARGEST = 3, 10, 32
# 100 steps with the largest mini-batches.
SLOW: dict[str, Any] = {"model": ASKED, "gpus": {"classes": [CLASS]}, "images": 100 * LARGEST}
OURS = "dueby.dev/profiled"
# Where nodes are measured, those of other files too.
THERE = ("-n", OPERATOR_NAMESPACE)


@pytest.fixture(scope="module")
def gpu(cluster: Cluster) -> Iterator[str]:
    """The node that has one, and a job that would use it."""
    add_gpus(cluster, HERE, CLASS)
    cluster.kubectl("label", "node", HERE, f"{DRIVER}=570.124.06")
    cluster.apply(asking(cluster, "asked", ASKED))
    yield HERE
    cluster.kubectl("delete", "infj", "asked")
    remove_gpus(cluster, HERE)
    cluster.kubectl("label", "node", HERE, f"{DRIVER}-")
    # What its pods have measured is written down for as long as they are there.
    cluster.wait(lambda: not measuring_here(cluster, "cronjobs,jobs,pods"), "all that measured it is gone")
    cluster.kubectl("delete", "gprof", NAME, f"{NAME}-{HERE}", "--ignore-not-found")


def asking(cluster: Cluster, name: str, model: dict[str, Any]) -> dict[str, Any]:
    """A job that uses the model on the node's GPU, and does nothing yet."""
    return job(
        cluster,
        name,
        model=model,
        images=8,
        source={"synthetic": {}},
        sink={"uri": "/data/rows"},
        gpus={"classes": [CLASS]},
        suspend=True,
        deadline="1000h",
    )


def measuring_here(cluster: Cluster, kinds: str) -> list[dict[str, Any]]:
    """Return the objects that are there to measure the node."""
    found = cluster.items(kinds, OURS, namespace=OPERATOR_NAMESPACE)
    return [one for one in found if one["metadata"]["annotations"].get("dueby.dev/node") == HERE]


def cron_job(cluster: Cluster, *, subjects: int) -> dict[str, Any]:
    """The node's, once it measures so many subjects."""

    def there() -> dict[str, Any] | None:
        # Of another class a node had before, its CronJob goes within seconds.
        found = [
            one
            for one in measuring_here(cluster, "cronjobs")
            if one["metadata"]["annotations"]["dueby.dev/device-class"] == CLASS
        ]
        is_there = [one["spec"]["jobTemplate"]["spec"]["completions"] for one in found] == [subjects]
        return found[0] if is_there else None

    found: dict[str, Any] = cluster.wait(there, f"a CronJob with {subjects} subjects")
    return found


def current(cluster: Cluster, name: str, **wanted: str) -> dict[str, Any]:
    """The profile, once its condition is so."""

    def there() -> dict[str, Any] | None:
        document = next((found for found in cluster.items("gprof", "") if found["metadata"]["name"] == name), {})
        said = (document.get("status", {}).get("conditions") or [{}])[0]
        return document if said and said.items() >= wanted.items() else None

    found: dict[str, Any] = cluster.wait(there, f"{name} says {wanted}")
    return found


def test_a_node_with_a_gpu_has_a_cron_job_that_follows_what_jobs_use(cluster: Cluster, gpu: str) -> None:
    made = cron_job(cluster, subjects=1)
    assert made["metadata"]["annotations"].items() >= {"dueby.dev/node": gpu, "dueby.dev/device-class": CLASS}.items()
    assert [(owner["kind"], owner["name"]) for owner in made["metadata"]["ownerReferences"]] == [("Node", gpu)]
    cluster.apply(asking(cluster, "asked-too", {**ASKED, "imageSize": 104}))
    assert cron_job(cluster, subjects=2)["metadata"]["uid"] == made["metadata"]["uid"]
    cluster.kubectl("delete", "infj", "asked-too")
    cron_job(cluster, subjects=1)


def test_measured_on_demand_it_is_the_nodes_profile_and_the_classs_and_again_when_the_driver_changes(
    cluster: Cluster, gpu: str
) -> None:
    cron = cron_job(cluster, subjects=1)["metadata"]["name"]
    cluster.kubectl("create", "job", *THERE, f"--from=cronjob/{cron}", f"{cron}-now")
    own = current(cluster, f"{NAME}-{gpu}", status="True", reason="Measured")
    assert own["spec"]["device"]["node"] == gpu
    assert own["spec"]["device"]["driver"] == "570.124.06"
    assert own["spec"]["software"]["imageName"] == WORKER_IMAGE
    assert [(owner["kind"], owner["name"]) for owner in own["metadata"]["ownerReferences"]] == [("Node", gpu)]
    of_class = current(cluster, NAME, status="True", reason="Measured")
    assert "ownerReferences" not in of_class["metadata"]
    assert of_class["spec"]["steps"] == own["spec"]["steps"]
    (pod,) = cluster.items("pods", f"job-name={cron}-now", namespace=OPERATOR_NAMESPACE)
    assert pod["spec"]["priority"] < 0
    assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume], "no token"

    cluster.kubectl("label", "node", gpu, "--overwrite", f"{DRIVER}=580.95.05")
    drifted = current(cluster, f"{NAME}-{gpu}", status="False", reason="DriverChanged")
    (said,) = drifted["status"]["conditions"]
    assert f"The driver of {gpu} was 570.124.06 and is 580.95.05." in said["message"]
    assert current(cluster, NAME, status="False", reason="DriverChanged")
    again = current(cluster, f"{NAME}-{gpu}", status="True", reason="Measured")
    assert again["spec"]["device"]["driver"] == "580.95.05"
    assert again["spec"]["measuredAt"] > own["spec"]["measuredAt"]
    assert current(cluster, NAME, status="True")["spec"]["measuredAt"] == again["spec"]["measuredAt"]
    # Of the one by hand nothing may be left: a CronJob keeps the last that succeeded.
    reasons = [job["metadata"]["annotations"].get("dueby.dev/reason") for job in measuring_here(cluster, "jobs")]
    assert reasons.count("DriverChanged") == 1, "measured again, and once"


def test_a_worker_puts_a_profiler_out_and_what_it_measured_is_measured_afterwards(cluster: Cluster, gpu: str) -> None:
    cron = cron_job(cluster, subjects=1)["metadata"]["name"]
    current(cluster, NAME, status="True")
    before = cluster.get("gprof", f"{NAME}-{gpu}")["spec"]["measuredAt"]
    folder = share_photos(cluster, "wins", IMAGES)
    wins = {"model": ASKED, "gpus": {"classes": [CLASS]}}
    # Its images are counted beforehand: it is to come while the node is being measured.
    cluster.apply(job(cluster, "wins", suspend=True, **wins))
    cluster.wait(lambda: cluster.get("infj", "wins").get("status", {}).get("images"), "the images are counted")
    work = f"{cron}-out"
    cluster.kubectl("create", "job", *THERE, f"--from=cronjob/{cron}", work)

    def measuring() -> str | None:
        (pod,) = cluster.items("pods", f"job-name={work}", namespace=OPERATOR_NAMESPACE) or [{}]
        is_on_it = bool(pod) and pod["status"]["phase"] == "Running"
        return str(pod["metadata"]["name"]) if is_on_it else None

    first = cluster.wait(measuring, "the node's only GPU is being measured")
    cluster.apply(job(cluster, "wins", suspend=False, **wins))
    done = cluster.wait_for_phase("wins", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(IMAGES))
    about = ["--field-selector", f"reason=Preempted,involvedObject.name={first}"]
    assert "Preempted by" in cluster.kubectl("get", "events", *THERE, *about)

    cluster.wait(
        lambda: cluster.get("job", work, namespace=OPERATOR_NAMESPACE)["status"].get("succeeded"),
        "it has been measured after all",
    )
    assert not cluster.get("job", work, namespace=OPERATOR_NAMESPACE)["status"].get("failed"), (
        "being put out is no failure"
    )
    (again,) = cluster.items("pods", f"job-name={work}", namespace=OPERATOR_NAMESPACE)
    assert again["metadata"]["name"] != first
    again_at = cluster.wait(
        lambda: (at := cluster.get("gprof", f"{NAME}-{gpu}")["spec"]["measuredAt"]) != before and at, "it is written"
    )
    assert again_at > before


@pytest.fixture
def suspended(cluster: Cluster, gpu: str) -> Iterator[str]:
    """The node's CronJob, which measures nothing for now."""
    cron = str(cron_job(cluster, subjects=1)["metadata"]["name"])
    suspend(cluster, cron, value=True)
    yield cron
    suspend(cluster, cron, value=False)


def suspend(cluster: Cluster, cron: str, *, value: bool) -> None:
    cluster.kubectl("patch", "cronjob", *THERE, cron, "-p", json.dumps({"spec": {"suspend": value}}))


def wait_until_current_says(cluster: Cluster, name: str, words: str) -> None:
    """Wait until the condition of the profile says so."""

    def says() -> bool:
        return any(words in said["message"] for said in cluster.get("gprof", name)["status"]["conditions"])

    cluster.wait(says, f"{name} says {words}")


def test_steps_that_take_longer_in_jobs_go_into_plans_and_are_measured_again(
    cluster: Cluster, gpu: str, suspended: str
) -> None:
    say_that_steps_are_shorter(cluster, f"{NAME}-{gpu}", TIMES_SHORTER)
    # One measurement an hour is made for what has changed, and a test before this one had it.
    cluster.kubectl("delete", "jobs", *THERE, *(job["metadata"]["name"] for job in measuring_here(cluster, "jobs")))
    set_gpus(cluster, gpu, JOBS_AT_ONCE)
    rows = rows_of_many_steps(cluster, NAME, JOBS_AT_ONCE, **SLOW)

    off = current(cluster, f"{NAME}-{gpu}", status="False", reason="StepsOff")
    (said,) = off["status"]["conditions"]
    assert f"In {len(rows)} jobs (" in said["message"]
    assert "longer than measured" in said["message"]
    assert "The CronJob that measures it is suspended." in said["message"]
    assert current(cluster, NAME, status="False", reason="StepsOff")

    cluster.apply(job_of_many_steps(cluster, "planned-slow", **SLOW))
    plan = cluster.wait(lambda: cluster.get("infj", "planned-slow").get("status", {}).get("plan"), "it has a plan")
    cluster.kubectl("delete", "infj", "planned-slow")
    told = f"times the measured latency, as in {len(rows)} earlier jobs"
    assert any(told in warning for warning in plan["warnings"]), plan["warnings"]

    set_gpus(cluster, gpu, 1)
    suspend(cluster, suspended, value=False)
    # Jobs are a tenant's word: what was measured today is measured again on a clock, and what is older at once.
    wait_until_current_says(cluster, f"{NAME}-{gpu}", f"It will be measured again by the CronJob {suspended}")
    assert not measuring_here(cluster, "jobs")
    older = {"spec": {"measuredAt": (datetime.now(UTC) - timedelta(days=2)).isoformat()}}
    cluster.kubectl("patch", "gprof", f"{NAME}-{gpu}", "--type=merge", "-p", json.dumps(older))
    again = current(cluster, f"{NAME}-{gpu}", status="True", reason="Measured")
    assert again["spec"]["measuredAt"] > off["spec"]["measuredAt"]
    (why,) = {job["metadata"]["annotations"].get("dueby.dev/reason") for job in measuring_here(cluster, "jobs")}
    assert why == "StepsOff"


def say_that_steps_are_shorter(cluster: Cluster, name: str, times: int) -> None:
    """Make both profiles say so many times less than was measured, and of mini-batches up to the largest only."""
    measured: list[dict[str, Any]] = current(cluster, name, status="True")["spec"]["steps"]
    # Of the largest one the first mini-batch was measured, too.
    largest = max(n for step in measured if (n := step["miniBatchSize"]) <= LARGEST and "warmupMicros" in step)
    steps = [step for step in measured if step["miniBatchSize"] <= largest]
    for step in steps:
        step["latencyMicros"] = {key: max(1, value // times) for key, value in step["latencyMicros"].items()}
    cluster.kubectl("patch", "gprof", name, "--type=merge", "-p", json.dumps({"spec": {"steps": steps}}))
    cluster.wait(lambda: current(cluster, NAME)["spec"]["steps"] == steps, "the class's profile says so, too")


@pytest.fixture
def forger(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a pod on the other node, whom RBAC allows to write profiles."""
    yield start_forger(cluster, ELSEWHERE, tmp_path)
    remove_forger(cluster)


def test_a_pods_token_writes_profiles_of_its_own_node_only(cluster: Cluster, forger: Path) -> None:
    asked = replace(cluster, kubeconfig=forger)
    account = f"system:serviceaccount:{cluster.namespace}:forger"
    said = f"{account} is a pod on the node {ELSEWHERE} and may write only GPUProfiles whose"

    def refused(verb: str, document: dict[str, Any], of: str) -> None:
        told = "(Conflict)"
        # The operator may write the profile's status between what kubectl reads and what it writes.
        while "(Conflict)" in told:
            is_done, told = asked.attempt(verb, "-f", "-", stdin=yaml.safe_dump(document))
            assert not is_done, told
        assert f"{said} spec.device.node is {ELSEWHERE}, not one of {of}" in " ".join(told.split())

    refused("create", forged("forged", HERE), HERE)
    refused("create", forged("forged", None), "a whole class")
    assert asked.attempt("create", "-f", "-", stdin=yaml.safe_dump(forged("forged", ELSEWHERE)))[0], "its own"
    refused("replace", forged("forged", HERE), HERE)
    assert asked.attempt("delete", "gprof", "forged")[0], "its own"

    cluster.apply(forged("by-a-person", None), forged("of-another", HERE))
    refused("replace", forged("by-a-person", ELSEWHERE), "a whole class")
    refused("delete", forged("of-another", HERE), HERE)
    # The last is what the operator has made of them.
    made = f"nvidia-fast-mobilenet-v3-small-64-fp32-{MODEL['engine']}"
    cluster.kubectl("delete", "gprof", "by-a-person", "of-another", made, "--ignore-not-found")


def test_the_cron_job_goes_when_the_node_has_no_gpu_any_more(cluster: Cluster, gpu: str) -> None:
    cron_job(cluster, subjects=1)
    remove_gpus(cluster, HERE)
    cluster.wait(lambda: not measuring_here(cluster, "cronjobs"), "it is gone")
