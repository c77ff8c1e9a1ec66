"""The chart on a real cluster: what it refuses, whom it admits, what it survives, and that its dashboard has data."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cluster import CHART, TAG, VALUES, Cluster, call
from support.cluster_job import condition, indices_of, job, share_photos
from support.prometheus import prometheus_beside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
DASHBOARD = CHART / "files" / "dashboards" / "dueby.json"
RBAC = "rbac.authorization.k8s.io"
# Half a minute of work for one slice.
MANY = 6000


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[None]:
    """Whatever a test does to the release, the others find it as it was."""
    yield
    cluster.install()


def test_the_operators_image_is_small(cluster: Cluster) -> None:
    """No PyTorch, and less than 250 MB, most of it Python and its base."""
    size = int(call("docker", "image", "inspect", "--format", "{{.Size}}", f"dueby/operator:{TAG}"))
    assert size < 250_000_000


def test_lint_has_nothing_to_say() -> None:
    assert "0 chart(s) failed" in call("helm", "lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        pytest.param("worker.memory=1GB", "at '/worker/memory': '1GB' does not match", id="memory in no unit"),
        pytest.param("worker.gpuCpu=3", "at '/worker': additional properties 'gpuCpu' not allowed", id="a typo"),
        pytest.param("worker.gpuCpus=0", "at '/worker/gpuCpus': minimum: got 0, want 1", id="no core"),
        pytest.param("image.tag=5", "at '/image/tag': got number, want string", id="a number as a tag"),
        pytest.param("image.pullPolicy=always", "at '/image/pullPolicy': value must be one of", id="a policy"),
        pytest.param("serviceMonitor.enabled=maybe", "at '/serviceMonitor/enabled': got string", id="no truth value"),
        pytest.param("profiler.window.start=1:00", "at '/profiler/window/start': '1:00' does not", id="no clock"),
        pytest.param("monitor.enabled=true", "additional properties 'monitor' not allowed", id="a value there isn't"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(cluster: Cluster, setting: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        cluster.helm("upgrade", "dueby", str(CHART), "--dry-run=server", "--set", setting)


def test_helm_test_finds_the_operator_well(cluster: Cluster) -> None:
    assert "The operator is well" in cluster.helm("test", "dueby", "--logs")


def grant(user: str, role: str, group: str, resource: str, verbs: list[str]) -> list[dict[str, Any]]:
    """A role in `default`, and its binding to the user."""
    api, metadata = f"{RBAC}/v1", {"name": role, "namespace": "default"}
    rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    return [
        {"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": role},
            "subjects": [{"kind": "User", "name": user, "apiGroup": RBAC}],
        },
    ]


def test_only_who_may_create_pods_may_make_jobs_and_change_them(cluster: Cluster) -> None:
    share_photos(cluster, "guarded", 1)
    cluster.apply(job("guarded", suspend=True))
    cluster.apply(*grant("maker", "make-jobs", "dueby.dev", "inferencejobs", ["get", "create", "patch"]))

    def made_by_maker(*arguments: str, stdin: str | None = None) -> tuple[bool, str]:
        return cluster.attempt(*arguments, "--dry-run=server", "--as=maker", stdin=stdin)

    def refused(*arguments: str, stdin: str | None = None) -> None:
        sentence = "an InferenceJob makes pods, and maker may not create pods in the namespace default: ask its"
        cluster.wait(lambda: sentence in made_by_maker(*arguments, stdin=stdin)[1], "the policy says its sentence")

    new = yaml.safe_dump(job("new"))
    edit = ("patch", "infj", "guarded", "--type=merge", "-p", '{"spec": {"deadline": "20m"}}')
    refused("create", "-f", "-", stdin=new)
    refused(*edit)
    assert made_by_maker("annotate", "infj", "guarded", "note=mine")[0], "what starts nothing may be changed"

    cluster.apply(*grant("maker", "make-pods", "", "pods", ["create"]))
    cluster.wait(lambda: made_by_maker("create", "-f", "-", stdin=new)[0], "who may create pods is admitted")
    assert made_by_maker(*edit)[0]
    cluster.kubectl("delete", "role,rolebinding", "make-jobs", "make-pods")
    cluster.kubectl("delete", "infj", "guarded")


def panels() -> dict[str, list[str]]:
    """The queries of each panel."""
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }


@pytest.mark.prometheus
def test_every_query_of_the_dashboard_has_data_while_a_job_runs(cluster: Cluster, tmp_path: Path) -> None:
    folder = share_photos(cluster, "watched", MANY)
    open_queries = {query for queries in panels().values() for query in queries}
    assert len(open_queries) > 20
    with prometheus_beside(cluster, tmp_path) as prometheus:
        cluster.apply(job("watched"))
        cluster.wait_for_phase("watched", "Running")

        def is_answered() -> bool:
            for query in sorted(open_queries):
                # NaN is what a rate over no time is divided to.
                if any(series["value"][1] != "NaN" for series in prometheus.query(query)):
                    open_queries.discard(query)
            return not open_queries or cluster.get("infj", "watched")["status"]["phase"] in ("Succeeded", "Failed")

        cluster.wait(is_answered, "every query has data, or the job is over")
        assert not open_queries
        assert prometheus.label_values("dueby_worker_images_total", "inferencejob") == ["watched"]
        assert "watched" in prometheus.label_values("dueby_job_replans", "inferencejob")
        ours = {"namespace": "default", "inferencejob": "watched"}
        (counted,) = [s for s in prometheus.query("dueby_job_images") if s["metric"]["inferencejob"] == "watched"]
        assert (counted["metric"].items() >= ours.items(), counted["value"][1]) == (True, str(MANY))
    cluster.wait_for_phase("watched", "Succeeded")
    assert indices_of(folder / "rows") == list(range(MANY))


def workers_of(cluster: Cluster, name: str) -> dict[str, str]:
    """The phases of the job's worker pods, by their uids."""
    pods = cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")
    return {pod["metadata"]["uid"]: pod["status"]["phase"] for pod in pods}


def test_an_upgrade_and_a_rollback_leave_a_running_job_alone(cluster: Cluster, restored: None) -> None:
    folder = share_photos(cluster, "upgraded", MANY)
    cluster.apply(job("upgraded"))
    cluster.wait_for_phase("upgraded", "Running")
    workers = workers_of(cluster, "upgraded")

    cluster.install(**{"podAnnotations.note": "upgraded", "worker.memory": "1100Mi", "dashboard.enabled": "true"})
    operator = cluster.get("deployment", "dueby-operator")["spec"]["template"]
    assert operator["metadata"]["annotations"] == {"note": "upgraded"}
    assert workers_of(cluster, "upgraded") == workers, "still at work"
    (shown,) = cluster.items("configmaps", "grafana_dashboard=1")
    assert json.loads(shown["data"]["dueby.json"]) == json.loads(DASHBOARD.read_text())

    cluster.helm("rollback", "dueby", "--wait", "--timeout", "180s")
    operator = cluster.get("deployment", "dueby-operator")["spec"]["template"]
    assert "note" not in operator["metadata"].get("annotations", {})
    assert f"--worker-memory={VALUES['worker.memory']}" in operator["spec"]["containers"][0]["args"]
    assert not cluster.items("configmaps", "grafana_dashboard=1")

    done = cluster.wait_for_phase("upgraded", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert workers_of(cluster, "upgraded").keys() == workers.keys()
    assert indices_of(folder / "rows") == list(range(MANY))


def test_uninstalled_it_keeps_definitions_and_jobs_and_installed_again_goes_on(
    cluster: Cluster, restored: None
) -> None:
    folder = share_photos(cluster, "orphaned", MANY)
    cluster.apply(job("orphaned"))
    cluster.wait_for_phase("orphaned", "Running")
    workers = workers_of(cluster, "orphaned")

    cluster.helm("uninstall", "dueby", "--wait")
    kept = cluster.kubectl("get", "crds", "-o", "name").split()
    assert {
        f"customresourcedefinition.apiextensions.k8s.io/{kind}.dueby.dev" for kind in ("gpuprofiles", "inferencejobs")
    } <= set(kept)
    assert not cluster.items("deployments,services,configmaps,leases", "app.kubernetes.io/instance=dueby")
    assert not cluster.items("clusterroles,validatingadmissionpolicies", "app.kubernetes.io/instance=dueby")
    assert workers_of(cluster, "orphaned") == workers, "still at work"

    cluster.install()
    done = cluster.wait_for_phase("orphaned", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert condition(done, "Complete")["reason"] == "EveryImageHasARow"
    assert workers_of(cluster, "orphaned").keys() == workers.keys()
    assert indices_of(folder / "rows") == list(range(MANY))


def test_who_may_edit_or_view_a_namespace_may_do_so_with_jobs(cluster: Cluster) -> None:
    def may(role: str, verb: str, resource: str) -> bool:
        cluster.attempt("create", "rolebinding", role, "-n", "default", f"--clusterrole={role}", f"--user={role}er")
        return cluster.attempt("auth", "can-i", verb, resource, f"--as={role}er", "-n", "default")[0]

    cluster.wait(lambda: may("edit", "create", "inferencejobs.dueby.dev"), "the roles are aggregated")
    assert may("view", "list", "inferencejobs.dueby.dev")
    assert not may("view", "delete", "inferencejobs.dueby.dev")
    cluster.kubectl("delete", "rolebinding", "edit", "view", "-n", "default")
