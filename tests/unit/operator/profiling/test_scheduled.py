"""A profiler on each node with GPUs: CronJobs follow nodes, and their subjects follow jobs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.inference_job import Model
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.jobs import names
from dueby_operator.model.writes import Add, Change, Delete
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from support.decisions import infj
from support.node_profiles import MODEL, PROFILER, Site, only_cron, spec_of
from support.profiling import A100, L4, gpu_node

GPU, HALF = "nvidia.com/gpu", "nvidia.com/mig-3g.20gb"


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

    def test_one_of_somebody_else_that_has_the_label_is_left_alone(self) -> None:
        site = Site(nodes=[])
        site.cron_jobs["backup"] = {"metadata": {"name": "backup", "uid": "u", "labels": {names.PROFILED: "backup"}}}
        assert site.reconcile() == []

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
            pytest.param({"model": {"name": "onnx/a", "weights": "/a.onnx"}}, None, id="no file in a job's volumes"),
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
