"""A profiler on each node with GPUs: CronJobs follow nodes and jobs, and profiles follow what they have measured."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.gpu_profile import Device, Latency
from dueby_api.inference_job import Model
from dueby_api.step_config import ProfileConfig
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add, Change, Delete, Put
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.settings import Window
from dueby_worker.steps.config import load_config
from support.decisions import infj
from support.node_profiles import DIGEST, MODEL, NAMESPACE, PROFILER, Site, spec_of
from support.profiling import A100, L4, gpu_node, measured

GPU, HALF = "nvidia.com/gpu", "nvidia.com/mig-3g.20gb"
OWN, OF_CLASS = (f"nvidia-a100-sxm4-40gb-efficientnet-lite0-224-fp32-openvino{node}" for node in ("-gpu", ""))


def mig_node() -> Node:
    """A node with a whole GPU and two slices of another."""
    allocatable = {"cpu": "16", "memory": "64Gi", "pods": "110", GPU: "1", HALF: "2"}
    labels = {"nvidia.com/gpu.product": A100}
    metadata = {"name": "mig", "uid": "u", "labels": labels}
    return read_node(parse(NodeObject, {"metadata": metadata, "status": {"allocatable": allocatable}}))


def subjects(site: Site) -> list[list[str]]:
    """What each CronJob measures, by its node and class."""
    found = []
    for cron in site.cron_jobs.values():
        pod = cron["spec"]["jobTemplate"]["spec"]["template"]
        config = json.loads(pod["metadata"]["annotations"][names.CONFIG])
        assert cron["spec"]["jobTemplate"]["spec"]["completions"] == len(config["workers"])
        models = [worker["model"] for worker in config["workers"]]
        found.append([f"{model['name']} {model['precision']} {model['engine']}" for model in models])
    return found


def only_cron(site: Site) -> dict[str, Any]:
    (found,) = site.cron_jobs.values()
    return found


class TestCronJobs:
    def test_there_is_one_for_each_node_with_gpus_and_class_and_none_for_others(self) -> None:
        bare = read_node(parse(NodeObject, {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "8"}}}))
        site = Site(nodes=[bare, gpu_node("a"), gpu_node("b", L4), mig_node(), gpu_node("empty", gpus=0)])
        site.reconcile()
        annotations = [cron["metadata"]["annotations"] for cron in site.cron_jobs.values()]
        assert sorted((one[names.NODE], one[names.DEVICE_CLASS]) for one in annotations) == [
            ("a", A100),
            ("b", L4),
            ("mig", A100),
            ("mig", f"{A100}-mig-3g.20gb"),
        ]

    def test_a_second_pass_over_an_unchanged_cluster_writes_nothing(self) -> None:
        site = Site(nodes=[gpu_node("a"), mig_node()], jobs=[infj()])
        assert {type(write) for write in site.reconcile()} == {Add}
        assert site.reconcile() == []

    def test_it_goes_with_its_node_and_when_the_node_has_no_gpu_any_more(self) -> None:
        site = Site(nodes=[gpu_node("a"), gpu_node("b")])
        site.reconcile()
        assert [cron["metadata"]["ownerReferences"] for cron in site.cron_jobs.values()] == [
            [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": f"uid-{name}"}] for name in "ab"
        ]
        site.nodes = [gpu_node("b", gpus=0)]
        assert [type(write) for write in site.reconcile()] == [Delete, Delete]
        assert site.cron_jobs == {}

    def test_a_node_of_the_same_name_is_another_owner(self) -> None:
        site = Site(nodes=[gpu_node("a")])
        site.reconcile()
        site.nodes = [replace(gpu_node("a"), uid="another")]
        assert [type(write) for write in site.reconcile()] == [Change]
        assert only_cron(site)["metadata"]["ownerReferences"][0]["uid"] == "another"

    def test_one_that_is_switched_off_takes_away_what_it_made(self) -> None:
        site = Site(nodes=[gpu_node("a")])
        site.reconcile()
        site.profiler = PROFILER.replace(enabled=False)
        site.reconcile()
        assert (site.cron_jobs, site.reconcile()) == ({}, [])

    def test_what_people_set_besides_stays_when_it_changes(self) -> None:
        site = Site(nodes=[gpu_node("a")])
        site.reconcile()
        only_cron(site)["spec"]["suspend"] = True
        site.image = "dueby/worker:2"
        (write,) = site.reconcile()
        assert isinstance(write, Change)
        cron = only_cron(site)
        assert cron["spec"]["suspend"] is True
        pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "dueby/worker:2"

    def test_nothing_is_made_for_nothing_to_measure(self) -> None:
        assert Site(nodes=[gpu_node("a")], profiler=PROFILER.replace(models=())).reconcile() == []


class TestSubjects:
    @pytest.mark.parametrize(
        ("spec", "found"),
        [
            pytest.param({}, ["efficientnet_lite0 fp32 auto"], id="what a job uses"),
            pytest.param({"model": {"name": "resnet18", "engine": "openvino"}}, None, id="not an engine on CPUs"),
            pytest.param(
                {"model": {"name": "resnet18", "engine": "openvino"}, "gpus": {"classes": [A100]}},
                ["resnet18 fp32 openvino"],
                id="but where the job names the class",
            ),
            pytest.param({"gpus": {"classes": [L4]}}, None, id="not on classes that it doesn't name"),
            pytest.param({"worker": {"nodeSelector": {"pool": "b"}}}, None, id="not on nodes that it doesn't select"),
            pytest.param({"deadline": "never"}, None, id="not of a job that makes no sense"),
        ],
    )
    def test_they_are_what_jobs_can_use_on_the_node(self, spec: dict[str, Any], found: list[str] | None) -> None:
        site = Site(nodes=[gpu_node("a")], jobs=[infj(**spec)], profiler=PROFILER.replace(models=()))
        site.reconcile()
        assert subjects(site) == ([found] if found else [])

    def test_each_is_measured_once_and_those_of_the_values_come_too(self) -> None:
        weights = {"name": "resnet18", "weights": "/mine.pt", "labels": "/labels.txt", "precision": "fp16"}
        jobs = [infj(), infj(model=weights), infj(model={"name": "resnet18", "precision": "fp16"})]
        site = Site(nodes=[gpu_node("a")], jobs=jobs, profiler=PROFILER.replace(models=(MODEL, Model(name="vgg11"))))
        site.reconcile()
        assert subjects(site) == [["efficientnet_lite0 fp32 auto", "resnet18 fp16 auto", "vgg11 fp32 auto"]]
        assert "/mine.pt" not in json.dumps(only_cron(site))

    def test_what_was_measured_longest_ago_is_first_so_that_a_time_limit_leaves_nothing_out_for_ever(self) -> None:
        first, second = "alexnet fp32 auto", "efficientnet_lite0 fp32 auto"
        site = Site(nodes=[gpu_node("a")], profiler=PROFILER.replace(models=(MODEL, Model(name="alexnet"))))
        site.settle()
        assert subjects(site) == [[first, second]]
        spec = spec_of(A100)
        site.measure(spec.replace(model=spec.model.replace(name="alexnet")), node="a")
        site.settle()
        assert subjects(site) == [[second, first]]
        site.measure(spec_of(A100, days=1), node="a", job="later")
        site.settle()
        assert subjects(site) == [[first, second]]

    def test_a_job_that_comes_changes_the_cron_job_of_its_nodes(self) -> None:
        site = Site(nodes=[gpu_node("a"), gpu_node("b", L4)])
        site.reconcile()
        site.jobs = [infj(model={"name": "resnet18"}, gpus={"classes": [L4]})]
        (write,) = site.reconcile()
        assert isinstance(write, Change)
        assert sorted(map(len, subjects(site))) == [1, 2]


class TestTemplate:
    def template(self, **profiler: Any) -> dict[str, Any]:
        site = Site(nodes=[gpu_node("a")], profiler=PROFILER.replace(**profiler))
        site.reconcile()
        found: dict[str, Any] = only_cron(site)["spec"]["jobTemplate"]["spec"]
        return found

    def test_a_pod_has_one_device_of_its_node_and_yields_it(self) -> None:
        pod = self.template()["template"]["spec"]
        assert pod["containers"][0]["resources"]["limits"] == {GPU: "1"}
        (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
        assert pod["priorityClassName"] == "dueby-profiler"

    def test_being_put_out_is_no_failure_and_one_subject_that_fails_leaves_the_others_be(self) -> None:
        template = self.template()
        assert template["podFailurePolicy"]["rules"] == [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
        ]
        assert (template["backoffLimitPerIndex"], template["parallelism"]) == (0, 1)

    def test_it_has_no_credentials_and_reads_no_config_map(self) -> None:
        pod = self.template()["template"]["spec"]
        assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("dueby-profiler", False)
        assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"downwardAPI"}, {"emptyDir"}]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True

    def test_a_run_and_each_pod_of_it_have_a_time_limit(self) -> None:
        template = self.template(time_limit="30m")
        assert template["activeDeadlineSeconds"] == 1800
        assert template["template"]["spec"]["activeDeadlineSeconds"] == 600

    def test_engines_on_cpus_have_their_cores_and_no_more(self) -> None:
        template = self.template(models=(Model(name="resnet18", engine="eager"),))
        assert template["template"]["spec"]["containers"][0]["resources"]["limits"] == {GPU: "1", "cpu": "2"}

    def test_taints_that_the_chart_names_are_borne(self) -> None:
        mine = {"key": "team", "operator": "Exists"}
        assert mine in self.template(tolerations=(mine,))["template"]["spec"]["tolerations"]

    def test_the_index_selects_what_the_pod_measures(self, tmp_path: Any) -> None:
        models = (Model(name="alexnet"), Model(name="resnet18", engine="eager"))
        pod = self.template(models=models)["template"]
        (item,) = pod["spec"]["volumes"][0]["downwardAPI"]["items"]
        assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.CONFIG}']"
        file = tmp_path / "config.json"
        file.write_text(pod["metadata"]["annotations"][names.CONFIG])
        told = [load_config(ProfileConfig, file, environment={"JOB_COMPLETION_INDEX": i}) for i in "01"]
        assert [(one.model.name, one.gpu, one.device_class) for one in told] == [
            ("alexnet", True, A100),
            ("resnet18", False, A100),
        ]


class TestSchedule:
    def test_each_node_has_a_minute_of_its_own_within_the_window(self) -> None:
        window = Window(start="22:30", hours=3, days="1-5")
        site = Site(nodes=[gpu_node(f"node-{i}") for i in range(60)], profiler=PROFILER.replace(window=window))
        site.reconcile()
        times = [cron["spec"]["schedule"].split() for cron in site.cron_jobs.values()]
        minutes = {(60 * int(hour) + int(minute) - (22 * 60 + 30)) % (24 * 60) for minute, hour, *_ in times}
        assert max(minutes) < 3 * 60
        assert len(minutes) > 30
        assert {tuple(rest) for _, _, *rest in times} == {("*", "*", "1-5")}

    def test_names_leave_room_for_what_kubernetes_appends_and_tell_nodes_and_classes_apart(self) -> None:
        made = {names.node_profiling_name(node * 80, name) for node in ("a", "b") for name in (A100, L4)}
        assert len(made) == 4
        assert all(len(name) <= 52 for name in made)

    def test_one_run_at_a_time_and_few_are_kept(self) -> None:
        site = Site(nodes=[gpu_node("a")])
        site.reconcile()
        spec = only_cron(site)["spec"]
        assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", None)
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 1)


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
