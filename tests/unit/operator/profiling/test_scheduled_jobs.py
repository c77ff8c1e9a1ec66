"""The CronJob that measures a node: what its pods have, how they yield, and when it is their time."""

import json
from typing import Any

from dueby_api.inference_job import Model
from dueby_api.step_config import ProfileConfig
from dueby_operator.jobs import names
from dueby_operator.settings import CacheVolume, ProfilingWindow, read_cache
from dueby_worker.steps.command import load_config
from support.node_profiles import PROFILER, Site, only_cron
from support.on_demand import begun_for_all
from support.profiling import A100, gpu_node

GPU = "nvidia.com/gpu"


class TestTemplate:
    def template(self, *, runtime_class: str = "", cache: CacheVolume | None = None, **profiler: Any) -> dict[str, Any]:
        site = Site(
            nodes=[gpu_node("a")],
            profiler=PROFILER.replace(**profiler),
            runtime_class=runtime_class,
            cache=cache,
        )
        site.reconcile()
        found: dict[str, Any] = only_cron(site)["spec"]["jobTemplate"]["spec"]
        return found

    def test_a_pod_has_one_device_of_its_node_and_yields_it(self) -> None:
        pod = self.template()["template"]["spec"]
        assert pod["containers"][0]["resources"]["limits"] == {GPU: "1", "memory": "8192Mi"}
        (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
        assert pod["priorityClassName"] == "dueby-profiler"

    def test_on_demand_the_same_is_done_for_one_subject_elsewhere_and_in_another_time(self) -> None:
        on_a_clock = self.template()
        (subject,) = json.loads(on_a_clock["template"]["metadata"]["annotations"][names.CONFIG])["workers"]
        (job,) = begun_for_all(there={"a": gpu_node("a")}, model=subject["model"])
        on_demand = job["spec"]
        time = {"backoffLimit", "backoffLimitPerIndex", "activeDeadlineSeconds", "ttlSecondsAfterFinished"}
        place = {"affinity", "nodeSelector", "priorityClassName", "tolerations"}
        kept = [{name: spec[name] for name in spec.keys() - time - {"template"}} for spec in (on_a_clock, on_demand)]
        assert kept[0] == kept[1]
        pods = [spec["template"]["spec"] for spec in (on_a_clock, on_demand)]
        assert len({json.dumps({name: pod[name] for name in sorted(pod.keys() - place)}) for pod in pods}) == 1

    def test_a_pod_has_the_charts_runtime_class(self) -> None:
        assert self.template(runtime_class="nvidia")["template"]["spec"]["runtimeClassName"] == "nvidia"
        assert "runtimeClassName" not in self.template()["template"]["spec"]

    def test_a_pod_has_the_workers_cache_and_is_told_where(self) -> None:
        volume = {"persistentVolumeClaim": {"claimName": "compiled"}}
        template = self.template(cache=read_cache(json.dumps(volume)))["template"]
        assert {"name": "dueby-cache", **volume} in template["spec"]["volumes"]
        mounts = {one["name"]: one["mountPath"] for one in template["spec"]["containers"][0]["volumeMounts"]}
        told = json.loads(template["metadata"]["annotations"][names.CONFIG])
        assert told["cacheDir"] == f"{mounts['dueby-cache']}/compiled"

    def test_a_pod_without_one_compiles_for_itself_as_each_worker_does(self) -> None:
        template = self.template()["template"]
        assert "cacheDir" not in json.loads(template["metadata"]["annotations"][names.CONFIG])

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
        assert template["template"]["spec"]["activeDeadlineSeconds"] == 900

    def test_engines_on_cpus_have_their_cores_and_no_more(self) -> None:
        template = self.template(models=(Model(name="resnet18", engine="eager"),))
        assert template["template"]["spec"]["containers"][0]["resources"]["limits"] == {
            GPU: "1",
            "cpu": "2",
            "memory": "8192Mi",
        }

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

    def test_what_it_is_told_has_room_however_many_subjects_there_are(self) -> None:
        models = tuple(Model(name=chr(0x4E00 + n) * 63, labels="l" * 99) for n in range(1000))
        template = self.template(models=models)
        annotations = template["template"]["metadata"]["annotations"]
        assert sum(len(f"{name}{value}".encode()) for name, value in annotations.items()) < 2**18
        told = [each["model"]["name"] for each in json.loads(annotations[names.CONFIG])["workers"]]
        assert told == [model.name for model in models[:300]]
        assert template["completions"] == len(told)


class TestSchedule:
    def test_each_node_has_a_minute_of_its_own_within_the_window(self) -> None:
        window = ProfilingWindow(start="22:30", hours=3, days="1-5")
        site = Site(nodes=[gpu_node(f"node-{i}") for i in range(60)], profiler=PROFILER.replace(window=window))
        site.reconcile()
        times = [cron["spec"]["schedule"].split() for cron in site.cron_jobs.values()]
        minutes = {(60 * int(hour) + int(minute) - (22 * 60 + 30)) % (24 * 60) for minute, hour, *_ in times}
        assert max(minutes) < 3 * 60
        assert len(minutes) > 30
        assert {tuple(rest) for _, _, *rest in times} == {("*", "*", "1-5")}

    def test_one_run_at_a_time_and_few_are_kept(self) -> None:
        site = Site(nodes=[gpu_node("a")])
        site.reconcile()
        spec = only_cron(site)["spec"]
        assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", None)
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 1)
