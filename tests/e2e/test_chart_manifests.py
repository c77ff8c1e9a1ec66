"""What the chart renders for its values; no cluster is asked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby_api.capacity import NodePool, SpotNodes, WeeklyWindow
from dueby_api.schema import validate
from dueby_operator.cluster.requests import NODE_PATIENCE_S
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import PORT
from dueby_operator.settings import (
    read_budgets,
    read_cache,
    read_capacity,
    read_maintenance,
    read_node_pools,
    read_prices,
    read_profiler,
    read_promises,
    read_spot,
)
from support.kind.chart import WITHOUT_GPUS, of_kind, options, rendered, rendered_with_notes
from support.kind.cluster import CHART, OPERATOR_NAMESPACE

pytestmark = pytest.mark.cluster
# Kubelets report every 10 s and are looked at every 5 s, so for so long after an outage of the API server their nodes
# count as lost.
REPORTED_S = 10 + 5
DIGEST = "sha256:" + "ab" * 32
WEEKLY = {"days": "Sat", "start": "22:00", "hours": 8, "timeZone": "Europe/Berlin"}


def images(**values: Any) -> tuple[str, str, str]:
    """The images of the operator, of its test and of workers."""
    documents = rendered(**values)
    (deployment,) = of_kind(documents, "Deployment").values()
    (pod,) = of_kind(documents, "Pod").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["image"], pod["spec"]["containers"][0]["image"], options(documents)["--worker-image"]


def test_a_digest_wins_over_a_tag() -> None:
    operator, tested, worker = images(image={"tag": "9", "digest": DIGEST}, worker={"image": {"tag": "8"}})
    assert operator == tested == f"dueby/operator@{DIGEST}"
    assert worker == "dueby/worker:8"
    operator, _, worker = images(worker={"image": {"digest": DIGEST}})
    assert (operator, worker) == ("dueby/operator:0.1.0", f"dueby/worker@{DIGEST}")


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(AssertionError, match="at '/image/digest': 'latest' does not match"):
        rendered(image={"digest": "latest"})


def test_messages_name_nodes_only_where_the_charts_values_say_so() -> None:
    assert "--name-nodes" in options(rendered(nameNodes=True))
    assert "--name-nodes" not in options(rendered())


def test_the_time_that_workers_have_for_their_open_parts_and_the_cores_of_a_slice_are_the_charts() -> None:
    for worker, words in (({}, ["30", "1"]), ({"graceSeconds": 0, "sliceCpus": 4}, ["0", "4"])):
        assert [options(rendered(worker=worker))[name] for name in ("--worker-grace-seconds", "--slice-cpus")] == words


def test_best_effort_workers_get_no_node_bought_and_stand_above_what_is_measured() -> None:
    documents = rendered()
    classes = of_kind(documents, "PriorityClass")
    name = options(documents)["--best-effort-priority"]
    value = classes["", name]["value"]
    assert value < -10, "autoscalers buy no node below that"
    assert all(found["value"] < value for (_, other), found in classes.items() if other != name)
    assert classes["", name].get("preemptionPolicy", "PreemptLowerPriority") == "PreemptLowerPriority"


def test_maintenance_windows_reach_the_operator() -> None:
    assert "--maintenance" not in options(rendered())
    window = {"from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z", "nodeSelector": {"pool": "a"}}
    (found,) = read_maintenance(options(rendered(maintenance=[window]))["--maintenance"])
    assert found.from_time
    assert found.to_time
    assert (found.to_time - found.from_time).total_seconds() == 7200
    assert found.node_selector == {"pool": "a"}
    (found,) = read_maintenance(options(rendered(maintenance=[{"weekly": WEEKLY}]))["--maintenance"])
    assert found.weekly == validate(WeeklyWindow, WEEKLY)


def test_capacity_reaches_the_operator() -> None:
    assert "--capacity" not in options(rendered())
    block = {"class": "NVIDIA-H100", "count": 8, "from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z"}
    nightly = {"class": "NVIDIA-A2", "count": 1_000_000, "nodeSelector": {"pool": "night"}, "weekly": WEEKLY}
    once, weekly = read_capacity(options(rendered(capacity=[block, nightly]))["--capacity"])
    assert (once.device_class, once.count, once.node_selector) == ("NVIDIA-H100", 8, {})
    assert (weekly.count, weekly.node_selector) == (1_000_000, {"pool": "night"})
    assert weekly.weekly == validate(WeeklyWindow, WEEKLY)


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"count": "8"}, {"class": "NVIDIA-H100@node"}, {"class": ""}, {"to": "sunday"}, {"weekly": WEEKLY}],
)
def test_what_is_no_capacity_is_refused(wrong: dict[str, Any]) -> None:
    block = {"class": "NVIDIA-H100", "count": 8, "from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z"}
    with pytest.raises(AssertionError, match="/capacity/0"):
        rendered(capacity=[block | wrong])


POOL = {"name": "a", "class": "NVIDIA-A100", "devicesPerNode": 8, "maxNodes": 4, "nodeSelector": {"pool": "a"}}
POOL |= {"taints": [{"key": "gpus", "effect": "NoSchedule"}], "timeToProvision": "10m", "spot": True}


def test_pools_reach_the_operator() -> None:
    assert "--node-pools" not in options(rendered())
    (found,) = read_node_pools(options(rendered(nodePools=[POOL]))["--node-pools"])
    assert found == validate(NodePool, POOL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"maxNodes": 0},
        {"nodeSelector": {}},
        {"timeToProvision": "10"},
        {"spot": 1},
        {"ask": "Nobody"},
        {"provisioningClass": "No Class"},
        {"spot": True, "nodeSelector": {"pool": "a", "kind": "spot"}},
        {"spot": False, "lossesPerHour": 1},
    ],
)
def test_what_is_no_pool_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="/nodePools/0"):
        rendered(nodePools=[POOL | wrong])


def test_what_is_assumed_of_spot_nodes_reaches_the_operator() -> None:
    assert read_spot(options(rendered())["--spot"]) == SpotNodes()
    assert read_spot(options(rendered(spot={"lossesPerHour": 2}))["--spot"]) == SpotNodes(losses_per_hour=2)
    with pytest.raises(AssertionError, match="/spot"):
        rendered(spot={"lossesPerHour": -1})


def test_prices_reach_the_operator() -> None:
    assert "--prices" not in options(rendered())
    prices = {"currency": "EUR", "billing": {"unit": "hour"}, "classes": [{"class": "NVIDIA-A100", "perHour": 3}]}
    tariff = read_prices(options(rendered(prices=prices))["--prices"])
    assert (tariff.currency, tariff.prices["NVIDIA-A100"].hourly) == ("EUR", 3_000_000)
    with pytest.raises(AssertionError, match="/prices/classes/0"):
        rendered(prices={"classes": [{"class": "NVIDIA-A100"}]})


def test_budgets_reach_the_operator() -> None:
    assert "--budgets" not in options(rendered())
    budgets = {"team-a": {"window": "720h", "cost": "500 USD"}}
    assert read_budgets(options(rendered(budgets=budgets))["--budgets"])["team-a"].cost == "500 USD"
    with pytest.raises(AssertionError, match="/budgets/team-a"):
        rendered(budgets={"team-a": {"window": "720h"}})


def test_promises_reach_the_operator() -> None:
    assert read_promises(options(rendered(promises={"maxShare": 0.5}))["--promises"]).max_share == 0.5


@pytest.mark.parametrize("wrong", [{"from": "sunday"}, {"until": "x"}, {"nodeSelector": {"pool": 1}}])
def test_what_is_no_maintenance_window_is_refused(wrong: dict[str, Any]) -> None:
    window = {"from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z", **wrong}
    with pytest.raises(AssertionError, match="/maintenance/0"):
        rendered(maintenance=[window])


@pytest.mark.parametrize(
    "wrong",
    [
        {"weekly": {**WEEKLY, "days": "Sat/2"}},
        {"weekly": {**WEEKLY, "start": "24:00"}},
        {"weekly": {**WEEKLY, "hours": 168}},
        {"weekly": {**WEEKLY, "timeZone": "../UTC"}},
        {"weekly": {"days": "Sat"}},
        {"weekly": WEEKLY, "from": "2026-12-06T02:00:00Z"},
        {"weekly": WEEKLY, "from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z"},
        {},
    ],
)
def test_what_is_no_weekly_window_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="/maintenance/0"):
        rendered(maintenance=[wrong])


def rights(**values: Any) -> dict[str, set[str]]:
    """What the operator may do by namespace, each right as `verb resource`. Its own namespace and none are both ""."""
    documents = rendered(**values)
    found: dict[str, set[str]] = {}
    for binding in [*of_kind(documents, "RoleBinding").values(), *of_kind(documents, "ClusterRoleBinding").values()]:
        assert [subject["name"] for subject in binding["subjects"]] == ["dueby-operator"]
        namespace = binding["metadata"].get("namespace", "")
        role = of_kind(documents, binding["roleRef"]["kind"])[namespace, binding["roleRef"]["name"]]
        for rule in role["rules"]:
            place = "cluster" if role["kind"] == "ClusterRole" else namespace
            found.setdefault(place, set()).update(f"{v} {r}" for v in rule["verbs"] for r in rule["resources"])
    return found


PUBLISHED = ("resourceslices", "deviceclasses", "resourceclaims")
JOBS = {"watch inferencejobs", "create jobs", "delete jobs", "create configmaps", "delete pods", "create events"}


def test_an_operator_of_all_namespaces_has_its_rights_everywhere() -> None:
    found = rights()
    assert found["cluster"] > JOBS
    assert found.keys() == {"cluster", "", "kube-node-lease"}


@pytest.mark.parametrize(
    ("ask", "verbs"),
    [
        ("ProvisioningRequest", ("get", "list", "watch", "create")),
        ("CapacityBuffer", ("get", "list", "watch", "create", "delete")),
    ],
)
def test_nodes_may_be_asked_for_by_objects_only_where_a_pool_is_asked_so(ask: str, verbs: tuple[str, ...]) -> None:
    kind, pools = f"{ask.lower()}s", [{**POOL, "ask": ask}]
    asked = rights(nodePools=pools)["cluster"]
    assert asked - rights(nodePools=[POOL])["cluster"] == {
        *(f"{verb} {kind}" for verb in verbs),
        *(f"{verb} podtemplates" for verb in ("get", "create")),
    }
    of_some = rights(watchNamespaces=["a"], nodePools=pools)
    assert asked - of_some["cluster"] >= {f"create {kind}", "create podtemplates"}
    assert of_some["a"] >= {f"create {kind}", "create podtemplates"}


def test_one_of_some_namespaces_changes_nothing_elsewhere_but_profiles() -> None:
    found = rights(watchNamespaces=["a", "b"])
    assert found["a"] == found["b"] > JOBS
    assert found["a"] | found["cluster"] == rights()["cluster"]
    assert {right for right in found["cluster"] if right.split()[0] not in ("get", "list", "watch")} == {
        *("create gpuprofiles", "update gpuprofiles", "delete gpuprofiles", "patch gpuprofiles/status")
    }
    assert {"list pods", "watch pods"} < found["cluster"]
    assert {"list cronjobs", "create jobs", "delete jobs", "list jobs", "list pods", "watch pods"} < found[""]


def test_what_a_job_waits_for_goes_before_what_is_measured_on_a_clock_and_after_all_workers() -> None:
    documents = rendered()
    profiler, classes = read_profiler(options(documents)["--profiler"]), of_kind(documents, "PriorityClass")
    on_demand, on_a_clock = (classes["", name] for name in (profiler.on_demand_priority, profiler.name))
    assert on_a_clock["value"] < on_demand["value"] < 0
    assert on_demand.get("preemptionPolicy", "PreemptLowerPriority") == "PreemptLowerPriority"


def test_it_need_not_see_the_pods_of_others() -> None:
    found = rights(watchNamespaces=["a"], countAllPods=False)
    unseen = {f"{verb} {kind}" for verb in ("list", "watch") for kind in ("pods", *PUBLISHED)}
    assert unseen < rights(watchNamespaces=["a"])["cluster"]
    assert found["cluster"] == rights(watchNamespaces=["a"])["cluster"] - unseen
    told = options(rendered(watchNamespaces=["a"], countAllPods=False))
    assert (told["--watch-namespace"], "--ignore-other-pods" in told) == ("a", True)
    with pytest.raises(AssertionError, match="countAllPods: false needs watchNamespaces"):
        rendered(countAllPods=False)


def test_a_second_release_leaves_the_definitions_to_the_first() -> None:
    assert len(of_kind(rendered(), "CustomResourceDefinition")) == 2
    assert not of_kind(rendered(crds={"enabled": False}), "CustomResourceDefinition")


def policies(**values: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """The rules of each NetworkPolicy."""
    found = of_kind(rendered(**values), "NetworkPolicy")
    return {key: policy["spec"] for key, policy in found.items()}


def test_network_policies_are_made_only_if_asked_for() -> None:
    assert not policies(watchNamespaces=["a"])


def test_the_operator_is_reached_by_prometheus_and_reaches_the_api_server_workers_and_dns() -> None:
    more = {"ports": [{"protocol": "TCP", "port": 4317}]}
    own = policies(networkPolicy={"enabled": True, "apiServerPorts": [8443], "egress": [more]})["", "dueby-operator"]
    (deployment,) = of_kind(rendered(), "Deployment").values()
    assert own["podSelector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert own["policyTypes"] == ["Ingress", "Egress"]
    prometheus, helm_test = own["ingress"]
    assert [port["port"] for port in prometheus["ports"]] == ["metrics"]
    (tested,) = of_kind(rendered(), "Pod").values()
    assert helm_test["from"] == [{"podSelector": {"matchLabels": tested["metadata"]["labels"]}}]
    assert [[port["port"] for port in rule["ports"]] for rule in own["egress"]] == [[8443], [53, 53], [PORT], [4317]]
    asked = [each["podSelector"]["matchExpressions"] for each in own["egress"][2]["to"]]
    assert asked == [[{"key": name, "operator": "Exists"}] for name in (names.JOB, names.ON_DEMAND)]


def test_pods_of_jobs_are_reached_by_the_operator_and_prometheus_alone() -> None:
    found = policies(networkPolicy={"enabled": True, "namespaces": ["b", "c"]}, watchNamespaces=["a", "b"])
    assert {namespace for namespace, name in found if name == "dueby-jobs"} == {"a", "b", "c"}
    of_jobs = found["a", "dueby-jobs"]
    assert of_jobs == found["c", "dueby-jobs"]
    assert of_jobs["podSelector"] == {"matchExpressions": [{"key": names.JOB, "operator": "Exists"}]}
    (rule,) = of_jobs["ingress"]
    operator, prometheus = rule["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": OPERATOR_NAMESPACE}
    assert operator["podSelector"] == found["", "dueby-operator"]["podSelector"]
    assert prometheus["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert rule["ports"] == [{"protocol": "TCP", "port": PORT}]


def test_the_policy_for_other_namespaces_is_the_one_that_the_readme_shows() -> None:
    (block,) = re.findall(r"```yaml\n(apiVersion: .*?)```", (CHART / "README.md").read_text(), re.S)
    shown = yaml.safe_load(block)
    of_chart = policies(networkPolicy={"enabled": True, "namespaces": ["a"]})["a", shown["metadata"]["name"]]
    assert shown["spec"] == of_chart


def test_nobody_reaches_what_measures_nodes_but_the_operator_what_measures_on_demand() -> None:
    found = policies(networkPolicy={"enabled": True})
    on_demand = found["", "dueby-on-demand"]
    assert on_demand["podSelector"] == {"matchExpressions": [{"key": names.ON_DEMAND, "operator": "Exists"}]}
    (rule,) = on_demand["ingress"]
    (operator,) = rule["from"]
    assert operator["podSelector"] == found["", "dueby-operator"]["podSelector"]
    assert rule["ports"] == [{"protocol": "TCP", "port": PORT}]
    assert found["", "dueby-profiler"] == {
        "podSelector": {"matchExpressions": [{"key": names.PROFILED, "operator": "Exists"}]},
        "policyTypes": ["Ingress"],
    }


def test_the_operator_leaves_a_lost_node_within_seconds_and_tolerates_what_it_is_told_to() -> None:
    told = {"key": "dedicated", "operator": "Exists"}
    (deployment,) = of_kind(rendered(lostNodeSeconds=7, tolerations=[told]), "Deployment").values()
    pod = deployment["spec"]["template"]["spec"]
    assert [(each["key"], each.get("tolerationSeconds")) for each in pod["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 7),
        ("node.kubernetes.io/unreachable", 7),
        ("dedicated", None),
    ]
    (usual,) = of_kind(rendered(), "Deployment").values()
    patience = {each["tolerationSeconds"] for each in usual["spec"]["template"]["spec"]["tolerations"]}
    assert patience == {NODE_PATIENCE_S}, "as long as workers'"
    assert min(patience) > REPORTED_S
    (container,) = pod["containers"]
    assert "--pod-uid=$(POD_UID)" in container["args"]
    assert "POD_UID" in {each["name"] for each in container["env"]}


def test_without_gpus_workers_are_small_and_what_jobs_name_is_measured_all_the_same() -> None:
    documents = rendered(**WITHOUT_GPUS)
    told = options(documents)
    assert (told["--worker-memory"], told["--scratch-size"]) == ("1Gi", "4Gi")
    profiler = read_profiler(told["--profiler"])
    assert (profiler.enabled, profiler.namespace) == (False, OPERATOR_NAMESPACE)
    # What pods that measure on demand are made with is there.
    assert ("", profiler.name) in of_kind(documents, "ServiceAccount")
    assert ("", profiler.on_demand_priority) in of_kind(documents, "PriorityClass")


def test_the_volume_for_compiled_models_is_what_the_operator_takes() -> None:
    volume = {"persistentVolumeClaim": {"claimName": "compiled"}}
    assert read_cache(options(rendered(worker={"cache": volume}))["--cache-volume"]).document() == volume
    assert "--cache-volume" not in options(rendered())


MONITORED = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
INSTALLED = [
    pytest.param({}, id="as it is"),
    pytest.param(WITHOUT_GPUS, id="without GPUs"),
    pytest.param({"admissionPolicy": {"enabled": False}, "watchNamespaces": ["a", "b"]}, id="some namespaces"),
    pytest.param({"serviceMonitor": {"enabled": True}}, id="one of two monitors"),
    pytest.param(MONITORED, id="both monitors"),
]


@pytest.mark.parametrize("values", INSTALLED)
def test_what_the_notes_ask_for_can_be_done(tmp_path: Path, values: dict[str, Any]) -> None:
    notes, documents = rendered_with_notes(tmp_path, **values)
    asked = {line.strip() for line in notes.splitlines() if line.startswith("    ")}
    definitions = of_kind(documents, "CustomResourceDefinition").values()
    ours = {definition["spec"]["names"]["plural"] for definition in definitions}
    assert asked - {f"kubectl delete cronjobs -n {OPERATOR_NAMESPACE} -l {names.PROFILED}"} == {
        f"helm test dueby --namespace {OPERATOR_NAMESPACE}",
        "kubectl apply -f job.yaml",
        "kubectl get inferencejobs --all-namespaces --watch",
        "kubectl get gpuprofiles",
    }
    assert ours == {"inferencejobs", "gpuprofiles"}
    (tested,) = of_kind(documents, "Pod").values()
    assert tested["metadata"]["annotations"]["helm.sh/hook"] == "test"
    service = of_kind(documents, "Service")["", "dueby-operator"]
    (port,) = [port["port"] for port in service["spec"]["ports"] if port["name"] == "metrics"]
    assert f"Metrics: Service dueby-operator, port {port}, path /metrics" in notes


@pytest.mark.parametrize("values", INSTALLED)
def test_the_notes_tell_of_what_is_installed_and_of_nothing_else(tmp_path: Path, values: dict[str, Any]) -> None:
    notes, documents = rendered_with_notes(tmp_path, **values)
    told = options(documents)
    is_on_a_clock = read_profiler(told["--profiler"]).enabled
    assert ("measured by CronJobs" in notes, "delete cronjobs" in notes) == (is_on_a_clock, is_on_a_clock)
    is_guarded = ("", "dueby-inferencejobs") in of_kind(documents, "ValidatingAdmissionPolicy")
    assert ("must be allowed to create pods" in notes, "admissionPolicy.enabled is false" in notes) == (
        is_guarded,
        not is_guarded,
    )
    is_monitored = bool(of_kind(documents, "ServiceMonitor")) and bool(of_kind(documents, "PodMonitor"))
    assert ("for the Prometheus operator set" in notes) == (not is_monitored)
    assert ("these namespaces only: a, b" in notes) == ("--watch-namespace" in told)


def test_the_operators_pods_run_as_whom_the_namespace_says_as_openshifts_restricted_v2_wants() -> None:
    """docs/platform/security-contexts.md: any user, no group for volumes, and nothing to write to but /tmp."""
    documents = rendered()
    (deployment,) = of_kind(documents, "Deployment").values()
    (test,) = of_kind(documents, "Pod").values()
    for pod in (deployment["spec"]["template"]["spec"], test["spec"]):
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod.get("volumes", []) in ([], [{"name": "tmp", "emptyDir": {}}])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
