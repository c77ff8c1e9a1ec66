"""How `dueby calendar` asks the API server for the jobs, and what it says if that fails."""

from pathlib import Path

import pytest

from dueby.cli.main import main
from support.cluster_list import class_profile, job, running
from support.small_api_server import JOBS, PROFILES, SmallAPIServer, jobs_in, status

FORBIDDEN = 'inferencejobs.dueby.dev is forbidden: User "ann" cannot list resource "inferencejobs" at the cluster scope'


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        pytest.param([], JOBS, id="all namespaces"),
        pytest.param(["-n", "x"], jobs_in("x"), id="one namespace"),
    ],
)
def test_the_api_server_is_asked(
    api_server: SmallAPIServer, capsys: pytest.CaptureFixture[str], options: list[str], asked: str
) -> None:
    api_server.lists[asked] = [job("a", namespace="x")]
    api_server.lists[PROFILES] = [class_profile("a100", 8)]
    assert main(["calendar", *options]) == 0
    assert api_server.asked == [f"GET {asked}", f"GET {PROFILES}"]
    out = capsys.readouterr().out
    assert " Planning " in out
    assert "a100: at most 0 of 8 devices are held at once." in out


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status(403, "gpuprofiles.dueby.dev is forbidden"), id="forbidden"),
        pytest.param(status(404, "the server could not find the requested resource"), id="no CRD"),
    ],
)
def test_without_profiles_it_is_not_known_how_many_devices_there_are(
    api_server: SmallAPIServer, capsys: pytest.CaptureFixture[str], answer: tuple[int, str]
) -> None:
    api_server.lists[JOBS] = [running("a", gpus=3, from_s=-60, to_s=60)]
    api_server.answers[PROFILES] = answer
    assert main(["calendar"]) == 0
    assert "a100: at most 3 at once by what the jobs' statuses say; how many" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        pytest.param(
            (404, "404 page not found\n"),
            1,
            "can't list the jobs: the cluster has no InferenceJobs; install DueBy's chart first",
            id="no CRD",
        ),
        pytest.param(
            status(404, "the server could not find the requested resource"),
            1,
            "can't list the jobs: the cluster has no InferenceJobs; install DueBy's chart first",
            id="no version of the CRD",
        ),
        pytest.param(
            status(401, "Unauthorized"),
            1,
            "can't list the jobs: the cluster doesn't accept your credentials, which may have expired",
            id="signed out",
        ),
        pytest.param(status(403, FORBIDDEN), 1, f"can't list the jobs: {FORBIDDEN}", id="forbidden"),
        pytest.param(status(500, "etcd:\nno leader"), 1, "can't list the jobs: etcd: no leader", id="several lines"),
        pytest.param((503, ""), 1, "can't list the jobs: the API server answers 503", id="silent"),
        pytest.param((200, "nonsense"), 2, "the API server: is not JSON", id="no list"),
        pytest.param(b"", 1, "can't list the jobs: http://127.0.0.1:", id="a connection that breaks"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 1, "can't list the jobs: http", id="a torn answer"
        ),
    ],
)
def test_what_fails_is_a_sentence(
    api_server: SmallAPIServer,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str] | bytes,
    code: int,
    said: str,
) -> None:
    api_server.answers[JOBS] = answer
    assert main(["calendar"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"dueby calendar: {said}")
    assert captured.err.count("\n") == 1


def test_a_server_that_is_not_there_is_a_sentence(
    api_server: SmallAPIServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api_server.kubeconfig(tmp_path, server="http://127.0.0.1:1")
    assert main(["calendar"]) == 1
    said = "can't list the jobs: http://127.0.0.1:1 can't be reached: Connection refused"
    assert capsys.readouterr().err == f"dueby calendar: {said}. Try the same command again later.\n"
