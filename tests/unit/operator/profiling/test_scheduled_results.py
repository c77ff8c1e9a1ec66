"""What comes of what a node's CronJob has measured: the node's profile and the class's, or nothing."""

from typing import Any

import pytest

from dueby_api.gpu_profile import Device, Latency
from dueby_operator.jobs import names
from dueby_operator.model.writes import Delete, Put
from support.node_profiles import DIGEST, NAMESPACE, Site, spec_of
from support.profiling import A100, L4, gpu_node, measured

OWN, OF_CLASS = (f"nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino{node}" for node in ("-gpu", ""))


class TestResults:
    def site(self, *nodes: str) -> Site:
        site = Site(nodes=[gpu_node(name) for name in nodes or ["gpu"]])
        site.settle()
        return site

    def test_what_was_measured_is_the_nodes_profile_and_the_classs(self) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu")
        puts = [write for write in site.reconcile() if isinstance(write, Put)]
        assert [put.document["metadata"]["name"] for put in puts] == [OWN, OF_CLASS]
        assert puts[0].document["metadata"]["ownerReferences"][0]["name"] == "gpu"
        assert "ownerReferences" not in puts[1].document["metadata"]
        assert site.profiles[OWN].spec.device.node == "gpu"
        site.settle()

    def test_a_pod_that_belongs_to_none_of_the_jobs_says_nothing(self) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu")
        site.pods[0]["metadata"]["ownerReferences"][0]["uid"] = "of-another"
        assert site.reconcile() == []

    def test_it_says_what_driver_and_image_it_comes_from(self) -> None:
        site = self.site()
        site.nodes[0] = gpu_node("gpu", labels={"nvidia.com/cuda.driver-version.full": "580.95.05"})
        site.measure(spec_of(A100, software={"torch": "2.13.0"}), node="gpu")
        site.reconcile()
        spec = site.profiles[OWN].spec
        assert spec.device.driver == "580.95.05"
        assert spec.software == {"torch": "2.13.0", "image": DIGEST, "imageName": "dueby/worker:1"}

    def test_a_later_measurement_takes_the_place_of_an_earlier_one_and_never_the_other_way_round(self) -> None:
        site = self.site()
        step = spec_of(A100).steps[0]
        site.measure(spec_of(A100), node="gpu")
        site.settle()
        site.measure(spec_of(A100, days=1, steps=(step.replace(latency_micros=Latency(mean=9)),)), node="gpu", job="b")
        site.settle()
        assert site.profiles[OF_CLASS].spec.steps[0].latency_micros.mean == 9
        assert len(site.pods) == 2, "the earlier one is still there to be read"

    def test_a_class_is_made_of_all_its_nodes_and_follows_each(self) -> None:
        site = self.site("a", "b", "c")
        step = spec_of(A100).steps[0]
        for node, latency_us in (("a", 100), ("b", 110), ("c", 120)):
            device = Device(uuid=f"GPU-{node}")
            spec = spec_of(A100, device=device, steps=(step.replace(latency_micros=Latency(mean=latency_us)),))
            site.measure(spec, node=node)
        site.settle()
        assert site.profiles[OF_CLASS].spec.steps[0].latency_micros.mean == 110
        site.pods, site.nodes = site.pods[:2], site.nodes[:2]
        del site.profiles[f"{OF_CLASS}-c"]  # which goes with its node
        site.settle()
        assert site.profiles[OF_CLASS].spec.steps[0].latency_micros.mean == 105

    def test_a_slow_node_goes_on_being_measured_as_what_it_was_and_recovers(self) -> None:
        site = self.site("a", "b", "c")
        step = spec_of(A100).steps[0]

        def measure(node: str, latency_us: int, days: int) -> None:
            device = Device(uuid=f"GPU-{node}")
            spec = spec_of(
                A100, days=days, device=device, steps=(step.replace(latency_micros=Latency(mean=latency_us)),)
            )
            site.measure(spec, node=node, job=f"{node}-{days}")
            site.settle()

        for node, latency_us in (("a", 100), ("b", 100), ("c", 150)):
            measure(node, latency_us, 0)
        cron_jobs = {name: cron["spec"] for name, cron in site.cron_jobs.items()}
        assert f"{A100}@c" in {profile.spec.device_class for profile in site.profiles.values()}
        measure("c", 101, 1)
        assert {profile.spec.device_class for profile in site.profiles.values()} == {A100}
        assert {name: cron["spec"] for name, cron in site.cron_jobs.items()} == cron_jobs

    def test_the_classs_profile_stays_when_the_last_node_goes(self) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu")
        site.settle()
        site.nodes, site.pods = [], []
        del site.profiles[OWN]
        site.settle()
        assert list(site.profiles) == [OF_CLASS]

    def test_what_was_applied_by_hand_for_the_same_device_stands(self) -> None:
        site = self.site()
        mine = measured(device=Device(node="gpu", uuid="GPU-1"))
        site.profiles["mine"] = mine.replace(metadata=mine.metadata.replace(name="mine"))
        site.measure(spec_of(A100, device=Device(uuid="GPU-1")), node="gpu")
        site.settle()
        assert sorted(site.profiles) == ["mine", OF_CLASS], "of which the class is made"

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"status": {"phase": "Running"}}, id="of a pod that is at work"),
            pytest.param({"status": {"phase": "Succeeded", "containerStatuses": []}}, id="of one that said nothing"),
        ],
    )
    def test_nothing_comes(self, changes: dict[str, Any]) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu", **changes)
        assert site.reconcile() == []

    def test_nothing_comes_of_another_model_or_class_than_was_asked_for(self) -> None:
        site = self.site()
        model = spec_of(A100).model
        site.measure(spec_of(A100, model=model.replace(image_size=96)), node="gpu")
        site.measure(spec_of(A100), node="gpu", job="b")
        told = site.pods[1]["metadata"]["annotations"]
        site.pods[1]["metadata"] |= {"annotations": {**told, names.CONFIG: told[names.CONFIG].replace(A100, L4)}}
        assert site.reconcile() == []

    def test_nothing_comes_of_pods_that_others_have_labelled_so(self) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu")
        site.pods[0]["metadata"] |= {"namespace": "theirs"}
        assert site.reconcile() == []
        site.pods[0]["metadata"] |= {"namespace": NAMESPACE}
        site.batch.clear()
        assert site.reconcile() == []

    def test_nothing_comes_of_a_node_that_is_gone(self) -> None:
        site = self.site()
        site.measure(spec_of(A100), node="gpu")
        site.nodes = []
        assert {type(write) for write in site.reconcile()} == {Delete}
        assert site.profiles == {}
