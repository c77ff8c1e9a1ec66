"""Sink: does another job write to the same place?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.conditions import ConditionType
from dueby_operator.control.conditions import condition
from dueby_operator.control.decide import decide
from dueby_operator.model.actions import StartStep, StopJobs
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from support.cluster_list import plan
from support.decisions import MADE, SECOND, cluster, indexed, infj, job, look

Document = dict[str, Any]
SAME: Document = {"sink": {"uri": "s3://rows/out"}}
VOLUMES = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
OTHERS = [{"name": "data", "persistentVolumeClaim": {"claimName": "other"}}]


def said(kind: str, status: str, reason: str) -> Document:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": MADE}


def made(
    name: str, *, status: Document | None = None, age_s: int = 0, namespace: str = "team", **spec: Any
) -> JobSnapshot:
    metadata = {"name": name, "uid": f"uid-of-{name}", "namespace": namespace}
    document = infj(metadata=metadata, status=status or indexed(), **{**SAME, **spec})
    found = job(document)
    return replace(found, created_us=found.created_us - age_s * SECOND)


def told(*jobs: JobSnapshot) -> Mapping[str, str]:
    """Why each job that waits does, by its name."""
    statuses = {decision.job.name: decision.status for decision in decide(cluster(*jobs)).jobs}
    found = {name: condition(status, ConditionType.ADMITTED) for name, status in statuses.items()}
    return {name: each.reason for name, each in found.items() if each and each.status == "False"}


STARTED = indexed(workersSeen=MADE, plan=plan(60))
RESTORED = indexed(workersSeen=MADE)
DONE = indexed(conditions=[said("Complete", "True", "Complete")])
FAILED = indexed(conditions=[said("Failed", "True", "InvalidJob")])
UNPROFILED = indexed(conditions=[*indexed()["conditions"], said("Profiled", "False", "NoProfile")])
LATE = indexed(conditions=[*indexed()["conditions"], said("Feasible", "False", "DeadlineTooEarly")])


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        pytest.param({}, {}, ["second"], id="the younger one waits"),
        pytest.param({}, {"status": STARTED}, ["first"], id="the one that hasn't begun waits"),
        pytest.param({"status": STARTED}, {"status": STARTED}, [], id="two that have begun go on"),
        pytest.param({"status": RESTORED}, {"status": STARTED}, ["first"], id="the one whose status was lost waits"),
        pytest.param({"status": DONE}, {}, [], id="the other one is done"),
        pytest.param({"status": FAILED}, {}, [], id="the other one has failed"),
        pytest.param({"suspend": True}, {}, [], id="the other one is suspended"),
        pytest.param({"suspend": True, "status": STARTED}, {}, ["second"], id="it is, after it has begun"),
        pytest.param({"status": UNPROFILED}, {}, ["first"], id="the one that has no profile waits"),
        pytest.param({"status": LATE}, {}, ["first"], id="the one that can't be in time waits"),
        pytest.param({}, {"namespace": "other"}, [], id="another namespace's"),
        pytest.param({}, {"sink": {"uri": "s3://rows/out/"}}, ["second"], id="another spelling"),
        pytest.param({}, {"sink": {"uri": "s3://rows/out/2"}}, [], id="a folder in it"),
        pytest.param({}, {"worker": {"env": [{"name": "AWS_ENDPOINT_URL", "value": "http://b"}]}}, [], id="elsewhere"),
        pytest.param(
            {}, {"worker": {"env": [{"name": "AZURE_STORAGE_ACCOUNT_NAME", "value": "b"}]}}, [], id="another account"
        ),
        pytest.param({}, {"worker": {"env": [{"name": "LOG", "value": "1"}]}}, ["second"], id="another variable"),
    ],
)
def test_of_two_jobs_with_one_sink(first: Document, second: Document, waits: list[str]) -> None:
    found = told(made("first", age_s=10, **first), made("second", **second))
    assert [name for name, reason in found.items() if reason == "SinkInUse"] == waits


@pytest.mark.parametrize(
    ("uri", "volumes", "waits"),
    [
        pytest.param("/data/rows", VOLUMES, True, id="the same volume"),
        pytest.param("file:///data/./rows", VOLUMES, True, id="in another spelling"),
        pytest.param("/data/rows", OTHERS, False, id="another volume"),
        pytest.param("rows", VOLUMES, False, id="each pod's own folder"),
    ],
)
def test_of_two_jobs_with_a_sink_on_a_volume(uri: str, volumes: list[Document], waits: bool) -> None:
    def worker(volumes: list[Document]) -> Document:
        return {"volumes": volumes, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}

    first = made("first", age_s=10, sink={"uri": "/data/rows" if uri != "rows" else "rows"}, worker=worker(VOLUMES))
    found = told(first, made("second", sink={"uri": uri}, worker=worker(volumes)))
    assert ("second" in found) == waits


def test_a_job_that_waited_says_what_for_and_lists_its_source_again_when_the_other_is_over() -> None:
    first, second = made("first", age_s=10), made("second")
    decisions = {decision.job.name: decision for decision in decide(cluster(first, second)).jobs}
    waiting = decisions["second"]
    assert not waiting.actions
    assert waiting.status.phase == "Queued"
    (message,) = (found.message for found in waiting.status.conditions if found.reason == "SinkInUse")
    assert message.startswith("The job first writes to s3://rows/out, too")
    assert waiting.status.images is None
    after = replace(second, status=waiting.status)
    (begun,) = decide(cluster(made("first", age_s=10, status=DONE), after)).jobs
    assert begun.actions == (StartStep(step="index"),)
    assert not [found for found in begun.status.conditions if found.reason == "SinkInUse"]


@pytest.mark.parametrize("suspended", [False, True])
def test_what_an_index_step_finds_in_a_sink_that_is_in_use_doesnt_count(suspended: bool) -> None:
    (create,) = look(infj()).created
    step = parse(BatchJob, {**create.job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    second = replace(made("second", suspend=suspended), steps={"index": step})
    (waiting,) = (
        found for found in decide(cluster(made("first", age_s=10), second)).jobs if found.job.name == "second"
    )
    assert StopJobs(jobs=(step.name,)) in waiting.actions
    assert condition(waiting.status, ConditionType.INDEXED) is None
