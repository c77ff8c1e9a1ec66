"""The chart on a real cluster: what it refuses, whom it admits, what it survives, and that its dashboard has data."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kind.cluster import CHART, CPU_VALUES, Cluster, call
from support.kind.cluster_job import SLOW, indices_of, job, share_photos
from support.kind.images import OPERATOR_IMAGE, WORKER_IMAGE
from support.kind.prometheus import prometheus_beside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
DASHBOARD = CHART / "files" / "dashboards" / "dueby.json"
RBAC = "rbac.authorization.k8s.io"
# Half a minute of work for one slice.
MANY = 3000


@pytest.mark.parametrize(
    ("image", "most"),
    [
        # No PyTorch: most of it is Python and its base.
        pytest.param(OPERATOR_IMAGE, 250_000_000, id="the operator's"),
        # PyTorch for CPUs is about half of it. Pods wait for what is pulled first.
        pytest.param(WORKER_IMAGE, 1_700_000_000, id="the worker's"),
    ],
)
def test_an_image_is_no_larger_than_it_need_be(cluster: Cluster, image: str, most: int) -> None:
    assert int(call("docker", "image", "inspect", "--format", "{{.Size}}", image)) < most


def test_the_operators_image_knows_time_zones(cluster: Cluster) -> None:
    """As maintenance windows name them; Python itself brings none."""
    code = "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Berlin'))"
    assert call("docker", "run", "--rm", "--entrypoint", "python", OPERATOR_IMAGE, "-c", code).split() == [
        "Europe/Berlin"
    ]


def test_lint_has_nothing_to_say() -> None:
    assert "0 chart(s) failed" in call("helm", "lint", "--strict", str(CHART))
    assert "0 chart(s) failed" in call("helm", "lint", "--strict", str(CHART), "--values", str(CPU_VALUES))


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
    """A role, and its binding to the user."""
    api, metadata = f"{RBAC}/v1", {"name": role}
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
    cluster.apply(job(cluster, "guarded", suspend=True))
    cluster.apply(*grant("maker", "make-jobs", "dueby.dev", "inferencejobs", ["get", "create", "patch"]))

    def made_by_maker(*arguments: str, stdin: str | None = None) -> tuple[bool, str]:
        return cluster.attempt(*arguments, "--dry-run=server", "--as=maker", stdin=stdin)

    def refused(*arguments: str, stdin: str | None = None) -> None:
        sentence = (
            f"an InferenceJob makes pods, and maker may not create pods in the namespace {cluster.namespace}: ask its"
        )
        cluster.wait(lambda: sentence in made_by_maker(*arguments, stdin=stdin)[1], "the policy says its sentence")

    new = yaml.safe_dump(job(cluster, "new"))
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
    open_queries = {query for queries in panels().values() for query in queries}
    assert len(open_queries) > 20
    watched: list[str] = []
    with prometheus_beside(cluster, tmp_path) as prometheus:

        def is_answered() -> bool:
            for query in sorted(open_queries):
                # NaN is what a rate over no time is divided to.
                if any(series["value"][1] != "NaN" for series in prometheus.query(query)):
                    open_queries.discard(query)
            phase = cluster.get("infj", watched[-1]).get("status", {}).get("phase")
            return not open_queries or phase in ("Succeeded", "Failed")

        # A test beside this one may kill the operator, which then never counts for how long a job has waited.
        while open_queries and len(watched) < 3:
            watched.append(f"watched-{len(watched)}")
            folder = share_photos(cluster, watched[-1], MANY)
            # From the beginning: half a minute after a job's start, the rate of waiting jobs no longer knows of it.
            document = job(cluster, watched[-1])
            document["spec"]["worker"]["resources"] = SLOW
            cluster.apply(document)
            cluster.wait(is_answered, "every query has data, or the job is over")
        assert not open_queries
        here = f'{{namespace="{cluster.namespace}"}}'
        # Of a second job the workers may not have begun yet.
        at_work = set(prometheus.label_values(f"dueby_worker_images_total{here}", "inferencejob"))
        assert {watched[0]} <= at_work <= set(watched)
        assert watched[0] in prometheus.label_values(f"dueby_job_replans{here}", "inferencejob")
        ours = {"namespace": cluster.namespace, "inferencejob": watched[-1]}

        def counts() -> list[dict[str, Any]]:
            return [s for s in prometheus.query("dueby_job_images") if s["metric"]["inferencejob"] == watched[-1]]

        # The operator that a test beside this one has killed shows nothing until the next one has begun.
        (counted,) = cluster.wait(counts, "the operator shows how many images the job has")
        assert (counted["metric"].items() >= ours.items(), counted["value"][1]) == (True, str(MANY))
    cluster.wait_for_phase(watched[-1], "Succeeded")
    assert indices_of(folder / "rows") == list(range(MANY))


def test_who_may_edit_or_view_a_namespace_may_do_so_with_jobs(cluster: Cluster) -> None:
    def may(role: str, verb: str, resource: str) -> bool:
        cluster.attempt("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er")
        return cluster.attempt("auth", "can-i", verb, resource, f"--as={role}er")[0]

    cluster.wait(lambda: may("edit", "create", "inferencejobs.dueby.dev"), "the roles are aggregated")
    assert may("view", "list", "inferencejobs.dueby.dev")
    assert not may("view", "delete", "inferencejobs.dueby.dev")
    cluster.kubectl("delete", "rolebinding", "edit", "view")
