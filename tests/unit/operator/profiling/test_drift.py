"""What changes after a measurement: it is noticed, measured again once, and the condition says what happens next."""

import pytest

from dueby_api.gpu_profile import Device
from dueby_api.units import to_micros
from dueby_operator.jobs import names
from dueby_operator.profiling.drift import REST_US, STEPS_REST_US
from support.drift import CLASS, OWN, drift, jobs, measure, measured_site, shown, with_driver
from support.node_profiles import DIGEST, MODEL, NAMESPACE, NIGHT, PROFILER, Site, spec_of
from support.operator import SECOND
from support.profiling import A100, gpu_node

OTHER = "sha256:" + "b" * 64
CASES = [
    ("driver", "DriverChanged", "The driver of gpu was 580.95.05 and is 590.48.01. It is being measured again by the"),
    ("image", "ImageChanged", "It was measured with the image dueby/worker:1, and workers have dueby/worker:2. It is"),
    ("steps", "StepsOff", "In 3 jobs (300 steps) its class's steps were 25% longer than measured. It is being"),
]


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


def test_what_measuring_does_not_cure_is_left_to_the_schedule() -> None:
    site = measured_site(device=Device(driver="580.95.05", uuid="GPU-gpu"))
    drift(site, "driver")
    (first,) = jobs(site.reconcile())
    stale = Device(driver="580.95.05", uuid="GPU-gpu")  # the label is ahead of the driver
    measure(site, first["metadata"]["name"], days=3, device=stale)
    for days in (4, 5, 6):
        site.now_us = to_micros(NIGHT) + days * STEPS_REST_US + 2 * REST_US
        measure(site, f"night-{days}", days=days, device=stale)
        assert len([name for name in site.batch if not name.startswith("night-")]) == 2, "the first one, and at once"
        assert site.condition(OWN).status == "False"
        assert jobs(site.reconcile()) == []
        assert "It will be measured again by the CronJob" in site.condition(OWN).message
    site.nodes = [with_driver("600.10.01")]
    assert len(jobs(site.reconcile())) == 1, "the next change is measured at once"


def test_an_image_that_the_cluster_gives_another_name_is_not_measured_again_and_again() -> None:
    site = measured_site()
    site.mirror = "mirror.example/"
    measure(site, "nightly", days=1)
    for again in range(1, 9):
        site.now_us += 2 * REST_US
        for made in [name for name, job in site.batch.items() if "status" not in job]:
            measure(site, made, days=2 + again)
    assert site.condition(OWN).reason == "ImageChanged"
    assert len(site.batch) <= 3, "the nightly one, one at once, and what has measured it first"


def test_an_engine_that_auto_no_longer_takes_is_not_measured_again_and_again() -> None:
    site = measured_site()
    drift(site, "image")
    (made,) = jobs(site.reconcile())
    measure(site, made["metadata"]["name"], days=3, engine="cuda")
    assert site.condition(OWN).reason == "ImageChanged"
    for days in (4, 5, 6):
        site.now_us = to_micros(NIGHT) + days * STEPS_REST_US
        site.batch.clear()  # a day has passed
        site.pods.clear()
        assert jobs(site.reconcile()) == []


def test_what_can_not_be_measured_any_more_is_tried_once_and_then_by_the_schedule() -> None:
    site = measured_site()
    drift(site, "driver")
    assert len(jobs(site.reconcile())) == 1
    for _ in range(3):
        site.now_us += STEPS_REST_US + SECOND
        site.batch.clear()  # they are kept for a day
        assert jobs(site.reconcile()) == []


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

    def test_jobs_words_have_a_node_measured_once_a_day_at_most(self) -> None:
        site = measured_site()
        site.now_us = to_micros(NIGHT) + STEPS_REST_US - SECOND
        drift(site, "steps")
        assert jobs(site.reconcile()) == []
        (cron,) = site.cron_jobs
        assert f"It will be measured again by the CronJob {cron} (" in site.condition(OWN).message
        site.now_us += SECOND
        assert len(jobs(site.reconcile())) == 1

    def test_that_are_shorter_are_one(self) -> None:
        site = measured_site()
        site.profiles[CLASS] = shown(site.profiles[CLASS], ratios=(0.7, 0.7, 0.7))
        assert len(jobs(site.reconcile())) == 1
        assert "were 30% shorter than measured" in site.condition(OWN).message
