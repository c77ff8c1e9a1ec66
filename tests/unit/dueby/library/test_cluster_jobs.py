"""`dueby.submit` and `dueby.wait`: what the API server is asked, and what becomes of its answers."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import dueby
from dueby.library.cluster_jobs import SubmittedJob, follow
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.status import JobStatus
from support.cluster_list import job, running
from support.planner import job_document
from support.report_page import framed_page, words_of
from support.small_api_server import SmallAPIServer, jobs_in, status

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


JOB = f"{jobs_in('team')}/a"


def test_a_job_is_submitted_as_it_was_written_and_comes_back_with_its_status(
    api_server: SmallAPIServer, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(MANIFEST)
    found = dueby.submit(tmp_path / "job.yaml", namespace="team")
    assert [asked.partition("?")[0] for asked in api_server.asked] == [
        f"GET {jobs_in('team')}/catalog",
        f"POST {jobs_in('team')}",
    ]
    (given,) = api_server.sent
    applied = given["metadata"].pop("annotations").pop("kubectl.kubernetes.io/last-applied-configuration")
    assert given["metadata"] == {"name": "catalog", "labels": {"team": "search"}}
    assert given["spec"]["deadlineTime"] == "2030-01-01T06:00:00Z"
    assert set(given["spec"]) == {"deadlineTime", "source", "sink"}
    assert json.loads(applied)["spec"] == given["spec"]
    assert (found.namespace, found.name, found.is_over) == ("team", "catalog", False)
    assert "1 job in the cluster" in words_of(framed_page(found))


def test_a_document_of_python_s_may_have_a_time_of_its_own(api_server: SmallAPIServer) -> None:
    dueby.submit(job_document(deadline=None, deadlineTime=datetime(2030, 1, 1, 6, tzinfo=UTC)))
    assert api_server.sent[0]["spec"]["deadlineTime"] == "2030-01-01T06:00:00+00:00"


def test_what_is_wrong_with_a_manifest_is_said_before_anybody_is_asked(api_server: SmallAPIServer) -> None:
    with pytest.raises(Invalid, match=r"spec\.images: must be an integer of at least 1"):
        dueby.submit(job_document(images=-1))
    assert api_server.asked == []


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param(b"", Transient, "can't submit the job: http://", id="no server"),
        pytest.param(
            (404, "404 page not found\n"),
            DueByError,
            "can't submit the job: the cluster has no InferenceJobs; install DueBy's chart first",
            id="no CRD",
        ),
        pytest.param(
            status(404, 'namespaces "own" not found', name="own"),
            DueByError,
            'can\'t submit the job: namespaces "own" not found',
            id="no namespace",
        ),
        pytest.param(
            status(422, 'InferenceJob.dueby.dev "a" is invalid: [spec: one,\n spec: two]'),
            DueByError,
            'can\'t submit the job: InferenceJob.dueby.dev "a" is invalid: [spec: one, spec: two]',
            id="two faults",
        ),
    ],
)
def test_what_the_cluster_does_not_take_is_a_sentence(
    api_server: SmallAPIServer, answer: tuple[int, str] | bytes, kind: type[DueByError], said: str
) -> None:
    api_server.answers[jobs_in("own")] = answer
    with pytest.raises(kind) as caught:
        dueby.submit(job_document())
    assert str(caught.value).startswith(said)


def test_a_job_that_is_over_is_returned_at_once(api_server: SmallAPIServer) -> None:
    api_server.objects[JOB] = job("a", namespace="team", phase="Succeeded")
    found = dueby.wait(dueby.wait("a", namespace="team"))
    assert (found.status.phase, found.is_over) == ("Succeeded", True)
    assert api_server.asked == [f"GET {JOB}"] * 2


@pytest.mark.parametrize(("generation", "is_over"), [(1, True), (2, False)])
def test_a_job_that_was_refused_is_waited_for_once_it_is_edited(
    api_server: SmallAPIServer, generation: int, is_over: bool
) -> None:
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
    document = job_document()
    api_server.objects[f"{jobs_in('own')}/{document['metadata']['name']}"] = refused
    assert dueby.submit(document).is_over == is_over


def test_a_job_that_is_not_there_is_not_waited_for(api_server: SmallAPIServer) -> None:
    with pytest.raises(Invalid, match="wait: there is no job a in namespace team"):
        dueby.wait("a", namespace="team")


def test_a_job_that_is_not_over_in_time_is_told_as_it_stands(api_server: SmallAPIServer) -> None:
    api_server.objects[f"{jobs_in('own')}/a"] = running("a", gpus=1, from_s=-5, to_s=5, message="8 of 9 parts.")
    with pytest.raises(Transient, match=r"the job isn't over\. a: Running\. 8 of 9 parts\."):
        dueby.wait("a", timeout_s=0)


def test_waiting_outlives_a_connection_that_is_dropped(api_server: SmallAPIServer) -> None:
    api_server.objects[JOB] = job("a", namespace="team", phase="Running")
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            api_server.dropped = 1
            api_server.objects[JOB] = job("a", namespace="team", phase="Succeeded")

    assert dueby.wait("a", namespace="team", tell=tell).status.phase == "Succeeded"
    first, dropped, last = told
    assert (first, last) == ("a: Running.", "a: Succeeded.")
    assert re.match(r"can't find the job: http://127\.0\.0\.1:\d+ can't be reached: .*[^.]\.$", dropped)


class Looks:
    """The job as it is seen, look by look."""

    def __init__(self, *looks: JobStatus | DueByError) -> None:
        self.left = list(looks)

    def __call__(self) -> SubmittedJob:
        look = self.left.pop(0)
        if isinstance(look, DueByError):
            raise look
        return SubmittedJob(namespace="team", name="a", deadline_class="Soft", status=look)


def test_it_tells_what_changes_and_goes_on_when_the_cluster_fails_meanwhile() -> None:
    planning, works = JobStatus(phase="Planning"), JobStatus(phase="Running", message="On 3 GPUs.")
    look = Looks(planning, planning, DueByError("can't find the job: timeout"), works, JobStatus(phase="Failed"))
    told: list[str] = []
    found = follow(look, pause=lambda: True, tell=told.append)
    assert (found.status.phase, look.left) == ("Failed", [])
    assert told == ["a: Planning.", "can't find the job: timeout.", "a: Running. On 3 GPUs.", "a: Failed."]


def test_a_job_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    look = Looks(JobStatus(phase="Running"), Invalid("wait", "there is no job a"))
    with pytest.raises(Invalid, match="there is no job a"):
        follow(look, pause=lambda: True, tell=lambda _: None)
