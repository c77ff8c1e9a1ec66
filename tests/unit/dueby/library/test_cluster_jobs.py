"""`dueby.submit` and `dueby.wait`: what kubectl is asked, and what becomes of its answers."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import dueby
from dueby.library.cluster_jobs import SubmittedJob, follow
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.status import JobStatus
from support.cluster_list import job, running
from support.planner import job_document
from support.programs import put_kubectl
from support.report_page import framed_page, words_of

MANIFEST = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: rows}
---
apiVersion: dueby.dev/v1alpha1
kind: InferenceJob
metadata: {name: catalog, labels: {team: search}}
spec:
  deadlineTime: 2030-01-01T06:00:00Z
  source: {uri: "s3://photos/in"}
  sink: {uri: "s3://photos/out"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_a_job_is_submitted_as_it_was_written_and_comes_back_with_its_status(folder: Path) -> None:
    (folder / "job.yaml").write_text(MANIFEST)
    (folder / "answer.json").write_text(json.dumps(job("catalog", namespace="team")))
    put_kubectl(folder, f'echo "$@" > {folder}/asked; cat > {folder}/given; cat {folder}/answer.json')
    found = dueby.submit(folder / "job.yaml", namespace="team")
    assert (folder / "asked").read_text().strip() == "apply --namespace team -f - -o json"
    given = json.loads((folder / "given").read_text())
    assert given["metadata"] == {"name": "catalog", "labels": {"team": "search"}}
    assert given["spec"]["deadlineTime"] == "2030-01-01T06:00:00Z"
    assert set(given["spec"]) == {"deadlineTime", "source", "sink"}
    assert (found.namespace, found.name, found.is_over) == ("team", "catalog", False)
    assert "1 job in the cluster" in words_of(framed_page(found))


def test_a_document_of_python_s_may_have_a_time_of_its_own(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps(job("catalog")))
    put_kubectl(folder, f"cat > {folder}/given; cat {folder}/answer.json")
    dueby.submit(job_document(deadline=None, deadlineTime=datetime(2030, 1, 1, 6, tzinfo=UTC)))
    assert json.loads((folder / "given").read_text())["spec"]["deadlineTime"] == "2030-01-01T06:00:00+00:00"


def test_what_is_wrong_with_a_manifest_is_said_before_kubectl_is_called(folder: Path) -> None:
    with pytest.raises(Invalid, match=r"spec\.images: must be an integer of at least 1"):
        dueby.submit(job_document(images=-1))


def refusing(*lines: str) -> str:
    """A script that takes the manifest and says so."""
    return "cat > /dev/null; " + "".join(f"echo '{line}' >&2; " for line in lines) + "exit 1"


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        pytest.param(None, Invalid, "submit: needs kubectl, which is not there; install it", id="no kubectl"),
        pytest.param(
            refusing("The connection to the server h:1 was refused"),
            DueByError,
            "kubectl can't submit the job: The connection to the server h:1 was refused",
            id="no server",
        ),
        pytest.param(
            refusing('error: resource mapping not found: no matches for kind "InferenceJob"', "ensure CRDs are there"),
            DueByError,
            "kubectl can't submit the job: the cluster has no InferenceJobs; install DueBy's chart first",
            id="no CRD",
        ),
        pytest.param(
            refusing("Warning: old", 'The InferenceJob "a" is invalid: ', "* spec: one", "* spec: two"),
            DueByError,
            'kubectl can\'t submit the job: The InferenceJob "a" is invalid: * spec: one * spec: two',
            id="two faults",
        ),
    ],
)
def test_what_kubectl_cannot_do_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, kind: type[DueByError], said: str
) -> None:
    if script is None:
        monkeypatch.setenv("PATH", str(folder))
    else:
        put_kubectl(folder, script)
    with pytest.raises(kind) as caught:
        dueby.submit(job_document())
    assert str(caught.value) == said


def test_a_job_that_is_over_is_returned_at_once(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps(job("a", namespace="team", phase="Succeeded")))
    put_kubectl(folder, f'echo "$@" > {folder}/asked; cat {folder}/answer.json')
    found = dueby.wait(dueby.wait("a", namespace="team"))
    assert (found.status.phase, found.is_over) == ("Succeeded", True)
    asked = "get inferencejobs.dueby.dev a --namespace team --ignore-not-found -o json"
    assert (folder / "asked").read_text().strip() == asked


@pytest.mark.parametrize(("generation", "is_over"), [(1, True), (2, False)])
def test_a_job_that_was_refused_is_waited_for_once_it_is_edited(folder: Path, generation: int, is_over: bool) -> None:
    refused = job("a", namespace="team", phase="Failed")
    refused["metadata"]["generation"] = generation
    refused["status"]["conditions"] = [
        {
            "type": "Failed",
            "status": "True",
            "reason": "Infeasible",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
    ]
    (folder / "answer.json").write_text(json.dumps(refused))
    put_kubectl(folder, f"cat {folder}/answer.json")
    assert dueby.submit(job_document()).is_over == is_over


def test_a_job_that_is_not_there_is_not_waited_for(folder: Path) -> None:
    put_kubectl(folder, "exit 0")
    with pytest.raises(Invalid, match="wait: there is no job a in namespace team"):
        dueby.wait("a", namespace="team")


def test_a_job_that_is_not_over_in_time_is_told_as_it_stands(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps(running("a", gpus=1, from_s=-5, to_s=5, message="8 of 9 parts.")))
    put_kubectl(folder, f"cat {folder}/answer.json")
    with pytest.raises(Transient, match=r"the job isn't over\. a: Running\. 8 of 9 parts\."):
        dueby.wait("a", timeout_s=0)


class Looks:
    """The job as it is seen, look by look."""

    def __init__(self, *looks: JobStatus | DueByError) -> None:
        self.left = list(looks)

    def __call__(self) -> SubmittedJob:
        look = self.left.pop(0)
        if isinstance(look, DueByError):
            raise look
        return SubmittedJob(namespace="team", name="a", deadline_class="Soft", status=look)


def test_it_tells_what_changes_and_goes_on_when_kubectl_fails_meanwhile() -> None:
    planning, works = JobStatus(phase="Planning"), JobStatus(phase="Running", message="On 3 GPUs.")
    look = Looks(
        planning, planning, DueByError("kubectl can't find the job: timeout"), works, JobStatus(phase="Failed")
    )
    told: list[str] = []
    found = follow(look, pause=lambda: True, tell=told.append)
    assert (found.status.phase, look.left) == ("Failed", [])
    assert told == ["a: Planning.", "kubectl can't find the job: timeout.", "a: Running. On 3 GPUs.", "a: Failed."]


def test_a_job_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    look = Looks(JobStatus(phase="Running"), Invalid("wait", "there is no job a"))
    with pytest.raises(Invalid, match="there is no job a"):
        follow(look, pause=lambda: True, tell=lambda _: None)
