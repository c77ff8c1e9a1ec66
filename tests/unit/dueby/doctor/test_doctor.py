"""`dueby doctor`: a line for each thing, what to do about it, and an exit code that says whether anything fails."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dueby.cli.main import main
from dueby.doctor.cluster import check_cluster
from dueby.doctor.finding import Asked, Finding
from dueby.doctor.machine import check_profiles
from dueby.doctor.places import check_places
from support.nvml import build_nvml, run_with_nvml
from support.small_api_server import DEPLOYMENTS, OURS, REVIEWS, SmallAPIServer, jobs_in, status

TRIAL = jobs_in("team")


def deployment(**ready: int) -> dict[str, Any]:
    return {"metadata": {"name": "dueby", "namespace": "dueby"}, "status": ready}


def shown(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.verdict) for finding in findings]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No profiles and no cluster but the test's own."""
    monkeypatch.setenv("DUEBY_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    ("changes", "verdicts", "words"),
    [
        pytest.param({}, ["ok"] * 5, "", id="all is there"),
        pytest.param({"kinds": []}, ["absent"], "install DueBy's chart", id="no CRDs"),
        pytest.param(
            {"answers": {OURS: (404, "404 page not found\n")}}, ["absent"], "install DueBy's chart", id="no API group"
        ),
        pytest.param({"answers": {OURS: b""}}, ["absent"], "can't be reached", id="a cluster that breaks off"),
        pytest.param(
            {"answers": {"": status(401, "Unauthorized")}},
            ["absent"],
            "can't reach a cluster: the cluster doesn't accept your credentials, which may have expired sign in",
            id="signed out",
        ),
        pytest.param({"answers": {OURS: (200, "<html>")}}, ["absent"], "is not JSON", id="a proxy's page"),
        pytest.param(
            {"lists": {DEPLOYMENTS: []}},
            ["ok", "fails", "ok", "ok", "ok"],
            "there is none, so no job starts",
            id="no operator",
        ),
        pytest.param(
            {"lists": {DEPLOYMENTS: [deployment()]}},
            ["ok", "fails", "ok", "ok", "ok"],
            "it is not ready in dueby",
            id="an operator that isn't ready",
        ),
        pytest.param(
            {"answers": {DEPLOYMENTS: status(403, "forbidden: no")}},
            ["ok", "absent", "ok", "ok", "ok"],
            "forbidden: no",
            id="an operator that the user may not see",
        ),
        pytest.param(
            {"forbidden": {"delete"}},
            ["ok", "ok", "ok", "ok", "fails"],
            "you may not delete InferenceJobs in team ask for Kubernetes' role edit",
            id="no right to delete",
        ),
        pytest.param(
            {"answers": {REVIEWS: status(500, "no")}},
            ["ok", "ok", "ok", "fails", "fails"],
            "can't say whether you may delete a job: no",
            id="rights that aren't told",
        ),
        pytest.param(
            {"answers": {TRIAL: status(403, "a policy says no")}},
            ["ok", "ok", "fails", "ok", "ok"],
            "a policy says no ask for Kubernetes' role edit",
            id="no right to create",
        ),
        pytest.param(
            {"answers": {TRIAL: status(404, 'namespaces "team" not found', name="team")}},
            ["ok", "ok", "fails", "ok", "ok"],
            'namespaces "team" not found name another namespace with -n',
            id="no such namespace",
        ),
    ],
)
def test_the_cluster_is_seen(
    api_server: SmallAPIServer, changes: dict[str, Any], verdicts: list[str], words: str
) -> None:
    api_server.lists[DEPLOYMENTS] = [deployment(readyReplicas=1)]
    for name, value in changes.items():
        setattr(api_server, name, value)

    found = list(check_cluster(Asked(namespace="team")))

    assert [finding.verdict for finding in found] == verdicts
    assert any(words in f"{finding.sentence} {finding.advice}" for finding in found)


def test_rights_are_those_in_the_namespace_of_the_context(api_server: SmallAPIServer) -> None:
    *_, last = check_cluster(Asked())
    assert last.sentence == "you may delete InferenceJobs in own"
    assert api_server.objects == {}


def test_a_cluster_that_is_not_there_is_absent(api_server: SmallAPIServer, tmp_path: Path) -> None:
    api_server.kubeconfig(tmp_path, server="http://127.0.0.1:1")
    (found,) = check_cluster(Asked())
    assert found.verdict == "absent"
    assert found.sentence == "can't reach a cluster: http://127.0.0.1:1 can't be reached: Connection refused"


def test_places_are_looked_at_and_nothing_is_left_there(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    there, glob, photo, nothing, wrong = check_places(
        Asked(uris=(str(photos), f"{photos}/*.jpg", f"{photos}/a.jpg", f"{tmp_path}/rows", "nowhere://x"))
    )

    assert there.sentence == "can be listed, with 1 name in it; results can be written there"
    assert (glob.sentence, photo.sentence) == (there.sentence, "can be read")
    assert (nothing.verdict, wrong.verdict) == ("ok", "fails")
    assert "nothing is there yet; results can be written" in nothing.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_profiles_are_none_some_or_broken(tmp_path: Path) -> None:
    assert shown(check_profiles(Asked())) == [("profiles", "absent")]
    home = tmp_path / "profiles"
    home.mkdir()
    (home / "a.yaml").write_text("kind: GPUProfile\n")
    assert shown(check_profiles(Asked())) == [("profiles", "fails")]


def test_the_command_prints_a_line_each_and_fails_if_anything_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "absent"}
    assert any(line.startswith("ok      engine eager: runs at fp32") for line in lines)
    assert any("cluster: there is none to ask: " in line for line in lines)

    assert main(["doctor", "nowhere://x", "-o", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [found["subject"] for found in findings if found["verdict"] == "fails"] == ["nowhere://x"]


@pytest.mark.compiler
def test_gpus_that_torch_does_not_see_are_a_failure(tmp_path: Path) -> None:
    script = """
import dataclasses, json
from dueby.doctor.finding import Asked
from dueby.doctor.machine import check_torch
print(json.dumps([dataclasses.asdict(finding) for finding in check_torch(Asked())]))
"""
    found = run_with_nvml(build_nvml(tmp_path), script, CUDA_VISIBLE_DEVICES="")

    assert (found[-1]["subject"], found[-1]["verdict"]) == ("GPUs", "fails")
    assert "but torch can't use any" in found[-1]["sentence"]
    assert "install a build of torch for the driver's CUDA" in found[-1]["advice"]
