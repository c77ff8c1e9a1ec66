"""What changes after a measurement: it is noticed, measured again once, and the condition says what happens next."""

from datetime import timedelta
from typing import Any

import pytest

from dueby_api.gpu_profile import Device, GPUProfile, Latency, ObservedJob
from dueby_operator.cluster.nodes import Node
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add, Change, Put, Write
from dueby_operator.profiling.drift import REST_US
from dueby_operator.profiling.provenance import driver_of
from support.node_profiles import DIGEST, MODEL, NAMESPACE, NIGHT, PROFILER, Site, spec_of
from support.operator import SECOND
from support.profiling import A100, gpu_node

CLASS = "nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino"
OWN = f"{CLASS}-gpu"
DRIVER = "nvidia.com/cuda.driver-version.full"
OTHER = "sha256:" + "b" * 64


def with_driver(version: str, name: str = "gpu") -> Node:
    return gpu_node(name, labels={DRIVER: version})


def measured_site(*nodes: Node, generation: int = 1, **changes: Any) -> Site:
    """Every node was measured, and there is nothing left to do."""
    site = Site(nodes=list(nodes) or [with_driver("580.95.05")], generation=generation)
    site.settle()
    for node in site.nodes:
        measure(site, f"first-{node.name}", node=node.name, **changes)
    return site


def measure(site: Site, job: str, *, node: str = "gpu", days: int = 0, image: str = DIGEST, **changes: Any) -> None:
    """A Job of the node's has measured it, and is over."""
    spec = spec_of(A100, days=days, **{"device": Device(uuid=f"GPU-{node}"), **changes})
    site.measure(spec, node=node, job=job, image=image)
    site.end(job)
    site.settle()


def jobs(writes: list[Write]) -> list[dict[str, Any]]:
    return [write.document for write in writes if isinstance(write, Add) and write.document["kind"] == "Job"]


def drift(site: Site, case: str) -> None:
    """Change the cluster so that what was measured is not so any more."""
    match case:
        case "driver":
            site.nodes = [with_driver("590.48.01")]
        case "image":
            site.image = "dueby/worker:2"
            site.reconcile()  # first the CronJob, so that nothing is measured with the image from before
        case "steps":
            site.profiles[CLASS] = shown(site.profiles[CLASS], ratios=(1.2, 1.25, 1.3))


def shown(profile: GPUProfile, *, ratios: tuple[float, ...], hours: int = 1) -> GPUProfile:
    """What jobs have shown of a class so long after it was measured."""
    time = NIGHT + timedelta(hours=hours)
    rows = (
        ObservedJob(job=str(i), time=time + timedelta(minutes=i), workers=1, steps=100, step_ratio=ratio)
        for i, ratio in enumerate(ratios)
    )
    return profile.replace(spec=profile.spec.replace(observed=tuple(rows)))


CASES = [
    ("driver", "DriverChanged", "The driver of gpu was 580.95.05 and is 590.48.01. It is being measured again by the"),
    ("image", "ImageChanged", "It was measured with the image dueby/worker:1, and workers have dueby/worker:2. It is"),
    ("steps", "StepsOff", "In 3 jobs (300 steps) its class's steps were 25% longer than measured. It is being"),
]


def test_what_was_measured_is_current_and_its_condition_says_with_what() -> None:
    site = measured_site(software={"torch": "2.13.0"})
    current = site.condition(OWN)
    assert (current.type, current.status, current.reason) == ("Current", "True", "Measured")
    assert current.message == "Measured with driver 580.95.05, image dueby/worker:1, torch 2.13.0."
    assert current.observed_generation == 1
    assert site.condition(CLASS).message == "Of 1 node."


@pytest.mark.parametrize(("case", "reason", "message"), CASES, ids=[case for case, *_ in CASES])
def test_what_changed_is_measured_again_at_once_and_the_condition_says_so(case: str, reason: str, message: str) -> None:
    site = measured_site()
    drift(site, case)
    (job,) = jobs(site.reconcile())
    cron = next(iter(site.cron_jobs.values()))
    assert job["spec"] == cron["spec"]["jobTemplate"]["spec"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == cron["metadata"]["uid"]
    assert job["metadata"]["annotations"][names.REASON] == reason
    current = site.condition(OWN)
    assert (current.status, current.reason) == ("False", reason)
    assert current.message.startswith(message)
    assert f"the Job {job['metadata']['name']} in the namespace {NAMESPACE}." in current.message
    of_class = site.condition(CLASS)
    assert (of_class.status, of_class.reason) == ("False", reason)
    assert f"Of 1 node 1 changed since measured: gpu ({reason})." in of_class.message
    assert site.reconcile() == []


@pytest.mark.parametrize(("case", "reason", "message"), CASES, ids=[case for case, *_ in CASES])
def test_measured_again_it_is_current(case: str, reason: str, message: str) -> None:
    del reason, message
    site = measured_site()
    drift(site, case)
    (job,) = jobs(site.reconcile())
    measure(site, job["metadata"]["name"], days=1)
    assert [site.condition(name).status for name in (OWN, CLASS)] == ["True", "True"]
    assert site.reconcile() == []


def test_a_drift_is_tried_once_and_then_by_the_schedule() -> None:
    site = measured_site()
    drift(site, "driver")
    (job,) = jobs(site.reconcile())
    site.batch[job["metadata"]["name"]]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    site.now_us += 2 * REST_US
    assert jobs(site.reconcile()) == []
    (cron,) = site.cron_jobs
    message = site.condition(OWN).message
    assert f"It will be measured again by the CronJob {cron} (" in message
    assert f"`kubectl create job --from=cronjob/{cron} {cron}-now -n {NAMESPACE}`" in message
    assert site.reconcile() == []


def test_what_measuring_does_not_cure_is_not_measured_again_and_again() -> None:
    site = measured_site(device=Device(driver="580.95.05", uuid="GPU-gpu"))
    drift(site, "driver")
    (first,) = jobs(site.reconcile())
    stale = Device(driver="580.95.05", uuid="GPU-gpu")  # the label is ahead of the driver
    measure(site, first["metadata"]["name"], days=1, device=stale)
    assert site.condition(OWN).status == "False"
    site.now_us += REST_US - SECOND
    assert jobs(site.reconcile()) == []
    site.now_us += 2 * SECOND
    assert len(jobs(site.reconcile())) == 1


def test_while_it_is_being_measured_nothing_is_made() -> None:
    site = measured_site()
    site.batch["by-hand"] = {**site.batch["first-gpu"], "metadata": {**site.batch["first-gpu"]["metadata"]}}
    site.batch["by-hand"]["metadata"]["name"] = "by-hand"
    del site.batch["by-hand"]["status"]
    drift(site, "driver")
    assert jobs(site.reconcile()) == []
    assert "by the Job by-hand in" in site.condition(OWN).message


def test_one_job_measures_all_that_changed_on_a_node() -> None:
    other = MODEL.replace(name="resnet18")
    site = Site(nodes=[with_driver("580.95.05")], profiler=PROFILER.replace(models=(MODEL, other)))
    site.settle()
    model = spec_of(A100).model
    spec = spec_of(A100, model=model.replace(name="resnet18"))
    site.measure(spec, node="gpu", index=1)
    site.measure(spec_of(A100), node="gpu")
    site.end(next(iter(site.batch)))
    site.settle()
    drift(site, "driver")
    assert len(jobs(site.reconcile())) == 1
    assert site.reconcile() == []


def test_nothing_is_measured_with_the_image_of_before() -> None:
    site = measured_site()
    site.image = "dueby/worker:2"
    writes = site.reconcile()
    assert jobs(writes) == []
    (job,) = jobs(site.reconcile())
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "dueby/worker:2"


def test_a_cron_job_that_is_suspended_or_switched_off_measures_nothing_and_the_condition_says_so() -> None:
    site = measured_site()
    next(iter(site.cron_jobs.values()))["spec"]["suspend"] = True
    drift(site, "driver")
    assert jobs(site.reconcile()) == []
    assert "The CronJob that measures it is suspended. To measure it now: `kubectl" in site.condition(OWN).message
    site.profiler = PROFILER.replace(enabled=False)
    site.settle()
    assert "No CronJob measures it. Name its model in the chart's profiler.models" in site.condition(OWN).message


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    site = measured_site()
    since = site.condition(OWN).last_transition_time
    site.now_us += 60 * SECOND
    site.generation = 2
    assert [type(write) for write in site.reconcile()] == [Change, Change]
    current = site.condition(OWN)
    assert (current.last_transition_time, current.observed_generation) == (since, 2)
    drift(site, "driver")
    site.reconcile()
    assert site.condition(OWN).last_transition_time > since


def test_a_class_whose_profile_is_made_anew_keeps_the_time_of_its_condition() -> None:
    site = measured_site(with_driver("580.95.05", "a"), with_driver("580.95.05", "b"), generation=3)
    step = spec_of(A100).steps[0]
    measure(site, "later", node="b", days=1, steps=(step.replace(latency_micros=Latency(mean=110_000)),))
    since = site.condition(CLASS).last_transition_time
    site.now_us += 60 * SECOND
    site.nodes, site.pods = site.nodes[:1], []
    del site.profiles[f"{CLASS}-b"]  # which goes with its node
    assert [write.document["metadata"]["name"] for write in site.reconcile() if isinstance(write, Put)] == [CLASS]
    found = site.condition(CLASS)
    assert (found.message, found.last_transition_time, found.observed_generation) == ("Of 1 node.", since, 3)


class TestSoftware:
    """On one node, by what was measured there last with the image that workers have."""

    def site(self, *, before: dict[str, str], now: dict[str, str], image: str = DIGEST) -> Site:
        """Two models, the one measured a day before the other."""
        site = Site(nodes=[gpu_node()], profiler=PROFILER.replace(models=(MODEL, MODEL.replace(name="resnet18"))))
        site.settle()
        measure(site, "a", software=before)
        model = spec_of(A100).model.replace(name="resnet18")
        spec = spec_of(A100, days=1, model=model, software=now, device=Device(uuid="GPU-gpu"))
        site.measure(spec, node="gpu", job="b", image=image)
        site.end("b")
        site.reconcile()
        site.reconcile()
        return site

    def test_another_torch_is_a_drift(self) -> None:
        site = self.site(before={"torch": "2.12.0"}, now={"torch": "2.13.0"}, image=OTHER)
        current = site.condition(OWN)
        assert current.reason == "TorchChanged"
        assert current.message.startswith("It was measured with torch 2.12.0, and workers have 2.13.0. ")

    def test_another_build_of_the_image_is_one_too(self) -> None:
        current = self.site(before={"torch": "2.13.0"}, now={"torch": "2.13.0"}, image=OTHER).condition(OWN)
        assert current.reason == "ImageChanged"
        assert f"with the build {DIGEST} of the image dueby/worker:1, and workers have {OTHER}" in current.message

    def test_the_same_is_none(self) -> None:
        assert self.site(before={"torch": "2.13.0"}, now={"torch": "2.13.0"}).condition(OWN).status == "True"

    def test_nodes_are_not_compared_with_each_other(self) -> None:
        site = Site(nodes=[gpu_node("a"), gpu_node("b")])
        site.settle()
        measure(site, "a", node="a", software={"torch": "2.12.0"})
        measure(site, "b", node="b", software={"torch": "2.13.0"}, days=1, image=OTHER)
        assert [site.condition(f"{CLASS}-{node}").status for node in "ab"] == ["True", "True"]


class TestSteps:
    @pytest.mark.parametrize(
        ("ratios", "hours"),
        [
            pytest.param((1.05, 1.1, 1.05), 1, id="a little"),
            pytest.param((1.3, 1.3), 1, id="two jobs"),
            pytest.param((1.3, 1.3, 1.3), -1, id="before it was measured"),
        ],
    )
    def test_are_no_drift(self, ratios: tuple[float, ...], hours: int) -> None:
        site = measured_site()
        site.profiles[CLASS] = shown(site.profiles[CLASS], ratios=ratios, hours=hours)
        assert jobs(site.reconcile()) == []
        assert site.condition(OWN).status == "True"

    def test_that_are_shorter_are_one(self) -> None:
        site = measured_site()
        site.profiles[CLASS] = shown(site.profiles[CLASS], ratios=(0.7, 0.7, 0.7))
        assert len(jobs(site.reconcile())) == 1
        assert "were 30% shorter than measured" in site.condition(OWN).message


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


def test_a_class_is_current_if_all_its_nodes_are_and_names_those_that_are_not() -> None:
    names_of = [f"node-{i}" for i in range(8)]
    site = measured_site(*(with_driver("580.95.05", name) for name in names_of))
    assert site.condition(CLASS).message == "Of 8 nodes."
    site.nodes = [with_driver("590.48.01", name) for name in names_of[:7]] + site.nodes[7:]
    site.settle()
    message = site.condition(CLASS).message
    assert message.startswith("Of 8 nodes 7 changed since measured: node-0 (DriverChanged), node-1")
    assert message.endswith("node-4 (DriverChanged) and 2 more. It follows them.")
    assert len(site.batch) == 8 + 7


def by_hand(profile: GPUProfile) -> GPUProfile:
    return profile.replace(metadata=profile.metadata.replace(name="mine", labels=None), status=None)


def test_what_was_applied_by_hand_of_a_node_is_judged_and_left_as_it_is() -> None:
    site = measured_site()
    site.pods.clear()
    site.profiles = {"mine": by_hand(site.profiles[OWN])}
    drift(site, "driver")
    assert jobs(site.reconcile()) == []
    assert site.condition("mine").reason == "DriverChanged"
    assert "It was applied by hand and stands. Apply a new one, or" in site.condition("mine").message


def test_what_was_applied_by_hand_of_a_class_is_not_judged() -> None:
    site = measured_site()
    site.profiles = {OWN: site.profiles[OWN], "mine": by_hand(site.profiles[CLASS])}
    site.settle()
    assert site.profiles["mine"].status is None
