"""How a cluster is reached: by a kubeconfig with contexts, plugins and proxies, or from inside; never without end."""

import json
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from dueby.cluster import connect
from dueby.cluster.api_server import APIServer
from dueby_api.errors import DueByError, Invalid, Transient
from support.cluster_list import job
from support.small_api_server import JOBS, SmallAPIServer, jobs_in, serving_api

CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
TRIAL = {"metadata": {"generateName": "a-"}}


def plugin(folder: Path, script: str) -> dict[str, object]:
    """A user whose credentials come from this script."""
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"exec": {"apiVersion": CREDENTIAL["apiVersion"], "command": str(program), "interactiveMode": "Never"}}


def test_the_current_context_says_which_cluster_and_namespace_are_meant(api_server: SmallAPIServer) -> None:
    connect("test").try_job(TRIAL, namespace=None)
    connect("test").try_job(TRIAL, namespace="other")
    assert api_server.asked == [f"POST {jobs_in(name)}?dryRun=All" for name in ("own", "other")]


def test_of_several_kubeconfigs_the_first_that_names_a_context_counts(
    api_server: SmallAPIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:{tmp_path}/kubeconfig")
    assert connect("test").namespace == "own"


def test_a_plugin_signs_in_and_does_so_again_when_its_token_is_refused(
    api_server: SmallAPIServer, tmp_path: Path
) -> None:
    for number in (1, 2):
        (tmp_path / f"token{number}").write_text(json.dumps({**CREDENTIAL, "status": {"token": f"token{number}"}}))
    script = f"cd {tmp_path}; echo >> calls; cat token$(wc -l < calls | tr -d ' ')"
    api_server.kubeconfig(tmp_path, user=plugin(tmp_path, script))
    api_server.token = "token2"
    assert json.loads(connect("test").list_jobs(None))["items"] == []
    assert api_server.asked == [f"GET {JOBS}"] * 2


def test_a_plugin_that_fails_is_a_sentence(api_server: SmallAPIServer, tmp_path: Path) -> None:
    api_server.kubeconfig(tmp_path, user=plugin(tmp_path, "echo 'your session is over' >&2; exit 3"))
    with pytest.raises(
        DueByError, match=r"can't sign in to the cluster: exec: process returned 3\. your session is over"
    ):
        connect("test")
    assert api_server.asked == []


def test_a_proxy_is_used(api_server: SmallAPIServer, tmp_path: Path) -> None:
    api_server.kubeconfig(tmp_path, server="http://cluster.invalid", proxy=api_server.address)
    connect("test").list_jobs(None)
    assert api_server.asked == [f"GET http://cluster.invalid{JOBS}"]


def test_in_a_pod_its_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl")
    pod, keys = tmp_path / "pod", tmp_path / "keys.pem"
    pod.mkdir()
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=api -days 2"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(keys), "-out", str(pod / "ca.crt")]
    subprocess.run([openssl, *words.split(), *names], check=True, capture_output=True)
    keys.write_text(keys.read_text() + (pod / "ca.crt").read_text())
    (pod / "token").write_text("secret")
    (pod / "namespace").write_text("notebooks\n")
    with serving_api(keys) as server:
        server.token = "secret"
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.address.rpartition(":")[2])
        inside = APIServer(pod=pod)
        assert inside.namespace == "notebooks"
        inside.get_job("a", namespace=None)
        assert server.asked == [f"GET {jobs_in('notebooks')}/a"]
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        with pytest.raises(DueByError, match="certificate verify failed"):
            connect("test").list_jobs(None)


def test_without_a_kubeconfig_and_outside_of_a_cluster_there_is_none_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Invalid, match=r"cluster: there is none to ask: .*missing isn't there, and this is no pod"):
        connect("test")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a: [", id="no YAML"),
        pytest.param("just words", id="a text"),
        pytest.param("current-context: a", id="no contexts"),
        pytest.param("{current-context: a, contexts: [3], clusters: [], users: []}", id="a number for a context"),
        pytest.param(
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: 5}]}",
            id="a number for a cluster",
        ),
        pytest.param("\xff", id="other bytes"),
    ],
)
def test_a_damaged_kubeconfig_is_a_sentence(api_server: SmallAPIServer, tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text, encoding="latin-1")
    with pytest.raises(Invalid, match=r"cluster: .*kubeconfig can't be used: ") as caught:
        connect("test").list_jobs(None)
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_not_waited_for_long(api_server: SmallAPIServer) -> None:
    api_server.may_answer.clear()
    with pytest.raises(Transient, match=r"can't list the jobs: http://.* hasn't answered within 0\.2 s"):
        APIServer(timeouts_s=(1.0, 0.2)).list_jobs(None)


def test_a_server_that_takes_no_connections_is_not_waited_for_long(api_server: SmallAPIServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        host, port = full.getsockname()
        for _ in range(4):  # as many as wait in the kernel, and more
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((host, port))
        api_server.kubeconfig(tmp_path, server=f"http://{host}:{port}")
        with pytest.raises(Transient, match=r"can't be reached within 0\.2 s"):
            APIServer(timeouts_s=(0.2, 1.0)).list_jobs(None)


def test_what_is_applied_changes_and_removes_what_kubectl_apply_would(api_server: SmallAPIServer) -> None:
    there = connect("test")

    def apply(**spec: object) -> dict[str, object]:
        applied = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "a"}, "spec": spec}
        found: dict[str, object] = json.loads(there.apply_job(applied, namespace="team"))["spec"]
        return found

    path = f"{jobs_in('team')}/a"
    assert apply(deadline="10m", gpus={"max": 3, "reserve": 1}, classes=["a"]) == api_server.objects[path]["spec"]
    api_server.objects[path]["spec"]["suspend"] = True  # by somebody else
    assert apply(deadlineTime="2030-01-01T06:00:00Z", gpus={"max": 4}, classes=["b"]) == {
        "deadlineTime": "2030-01-01T06:00:00Z",
        "gpus": {"max": 4},
        "classes": ["b"],
        "suspend": True,
    }
    strict = "fieldManager=dueby&fieldValidation=Strict"
    assert [asked.split("?")[0] for asked in api_server.asked] == [
        *(f"GET {path}", f"POST {jobs_in('team')}"),
        *(f"GET {path}", f"PATCH {path}"),
    ]
    assert api_server.asked[1].split("?")[1] == api_server.asked[3].split("?")[1] == strict


@pytest.mark.parametrize("annotation", ["", "{", "[]", '{"spec": 3}'])
def test_what_was_applied_otherwise_keeps_what_is_not_named(api_server: SmallAPIServer, annotation: str) -> None:
    there = job("a", namespace="team")
    there["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": annotation}
    api_server.objects[f"{jobs_in('team')}/a"] = there
    wanted = {"metadata": {"name": "a"}, "spec": {"deadline": "2h"}}
    found = json.loads(connect("test").apply_job(wanted, namespace="team"))
    assert found["spec"] == {**there["spec"], "deadline": "2h"}


def test_a_job_of_another_namespace_is_not_submitted(api_server: SmallAPIServer) -> None:
    with pytest.raises(Invalid, match=r"metadata\.namespace: is a, and the job is submitted to b"):
        connect("test").apply_job({"metadata": {"name": "x", "namespace": "a"}}, namespace="b")
    assert api_server.asked == []
