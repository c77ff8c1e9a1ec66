"""`dueby doctor`: a line for each thing, what to do about it, and an exit code that says whether anything fails."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby.cli.main import main
from dueby.doctor.cluster import check_cluster
from dueby.doctor.finding import Asked, Finding
from dueby.doctor.machine import check_profiles
from dueby.doctor.places import check_places
from support.nvml import build_nvml, run_with_nvml
from support.programs import put_kubectl

KINDS = "echo inferencejobs.dueby.dev; echo gpuprofiles.dueby.dev"
READY = '{"items": [{"metadata": {"namespace": "dueby"}, "status": {"readyReplicas": 1}}]}'
NOT_READY = '{"items": [{"metadata": {"namespace": "dueby"}, "status": {}}]}'


def script(
    *, kinds: str = KINDS, operators: str = f"echo '{READY}'", rights: str = "echo yes", creates: str = "cat >&2"
) -> str:
    """What a kubectl does."""
    return f'case "$1" in api-resources) {kinds};; get) {operators};; auth) {rights};; create) {creates};; esac'


def shown(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.subject, finding.verdict) for finding in findings]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No profiles and no kubectl but the test's own."""
    monkeypatch.setenv("DUEBY_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("does", "verdicts", "words"),
    [
        pytest.param(script(), ["ok"] * 5, "", id="all is there"),
        pytest.param(script(kinds="exit 0"), ["absent"], "install DueBy's chart", id="no CRDs"),
        pytest.param(
            script(kinds="echo 'connection refused' >&2; exit 1"), ["absent"], "connection refused", id="no cluster"
        ),
        pytest.param(
            script(operators="""echo '{"items": []}'"""),
            ["ok", "fails", "ok", "ok", "ok"],
            "there is none, so no job starts",
            id="no operator",
        ),
        pytest.param(
            script(operators=f"echo '{NOT_READY}'"),
            ["ok", "fails", "ok", "ok", "ok"],
            "it is not ready in dueby",
            id="an operator that isn't ready",
        ),
        pytest.param(
            script(operators="echo 'forbidden: no' >&2; exit 1"),
            ["ok", "absent", "ok", "ok", "ok"],
            "forbidden: no",
            id="an operator that the user may not see",
        ),
        pytest.param(
            script(rights='test "$3" != delete || { echo no; exit 1; }'),
            ["ok", "ok", "ok", "ok", "fails"],
            "you may not delete InferenceJobs in team ask for Kubernetes' role edit",
            id="no right to delete",
        ),
        pytest.param(
            script(creates="echo 'Error from server (Forbidden): a policy says no' >&2; exit 1"),
            ["ok", "ok", "fails", "ok", "ok"],
            "a policy says no ask for Kubernetes' role edit",
            id="no right to create",
        ),
        pytest.param(
            script(creates="""echo 'Error from server (NotFound): namespaces "team" not found' >&2; exit 1"""),
            ["ok", "ok", "fails", "ok", "ok"],
            'namespaces "team" not found name another namespace with -n',
            id="no such namespace",
        ),
    ],
)
def test_the_cluster_is_seen_by_kubectl(tmp_path: Path, does: str, verdicts: list[str], words: str) -> None:
    put_kubectl(tmp_path, does)

    found = list(check_cluster(Asked(namespace="team")))

    assert [finding.verdict for finding in found] == verdicts
    assert any(words in f"{finding.sentence} {finding.advice}" for finding in found)


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
    assert any("cluster: there is no kubectl here -> install kubectl" in line for line in lines)

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
