"""How `dueby calendar` asks kubectl for the jobs, and what it says if that fails."""

from pathlib import Path

import pytest

from dueby.cli.main import main
from support.cluster_list import job, listed
from support.programs import put_kubectl


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], "get inferencejobs.dueby.dev --all-namespaces -o json"),
        (["-n", "x"], "get inferencejobs.dueby.dev --namespace x -o json"),
    ],
)
def test_kubectl_is_asked(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    asked: str,
) -> None:
    (tmp_path / "list.json").write_text(listed(job("a", namespace="x")))
    put_kubectl(tmp_path, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/list.json')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main(["calendar", *options]) == 0
    assert (tmp_path / "asked").read_text().strip() == asked
    assert " Planning " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        pytest.param(
            None, 2, "calendar: needs kubectl, which is not there; install it, or give its list with -f", id="none"
        ),
        pytest.param(
            "echo 'E1127 a trace' >&2; echo 'The connection to the server h:1 was refused' >&2; exit 1",
            1,
            "kubectl can't list the jobs: The connection to the server h:1 was refused",
            id="no server",
        ),
        pytest.param(
            "echo 'error: the server doesn'\"'\"'t have a resource type \"inferencejobs\"' >&2; exit 1",
            1,
            "kubectl can't list the jobs: the cluster has no InferenceJobs; install DueBy's chart first",
            id="no CRD",
        ),
        pytest.param("exit 3", 1, "kubectl can't list the jobs: it doesn't say why", id="silent"),
        pytest.param("echo nonsense", 2, "kubectl: is not JSON", id="no list"),
    ],
)
def test_what_kubectl_cannot_do_is_a_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    code: int,
    said: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path) if script is None else f"{tmp_path}:/usr/bin:/bin")
    if script is not None:
        put_kubectl(tmp_path, script)
    assert main(["calendar"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"dueby calendar: {said}")
    assert captured.err.count("\n") == 1
