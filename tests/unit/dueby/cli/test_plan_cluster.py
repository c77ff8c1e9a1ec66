"""`dueby plan --cluster`: what the operator would do with a job that isn't there yet, by what the user may read."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby.cli.main import main
from dueby_api.status import WindowStatus
from dueby_api.units import format_time
from support.decisions import indexed, infj, node_document
from support.operator import SECOND, plan_status, profile
from support.small_api_server import DEPLOYMENTS, JOBS, PROFILES, SmallAPIServer, jobs_in, status

Document = dict[str, Any]
Preview = Callable[..., tuple[int, Any, str]]
NODES = "/api/v1/nodes"
# Everywhere, and in the namespace `own`.
EVERYWHERE = (JOBS, "/apis/batch/v1/jobs", "/api/v1/pods", "/api/v1/resourcequotas")
OWN = (jobs_in("own"), *(path.replace("v1/", "v1/namespaces/own/") for path in EVERYWHERE[1:]))


def operator_deployment(*arguments: str) -> Document:
    container = {"name": "operator", "args": ["--worker-image=dueby/worker:1", "--pod-uid=$(POD_UID)", *arguments]}
    return {"metadata": {"name": "dueby-operator"}, "spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.fixture
def preview(api_server: SmallAPIServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Preview:
    """The command on a job with these fields, in a cluster of a node with eight slices of a core.

    A slice does 160 images a second, and needs 1.2 s to start.
    """
    api_server.lists = {
        **{path: [] for path in (*EVERYWHERE, *OWN)},
        NODES: [node_document()],
        PROFILES: [profile().document()],
        DEPLOYMENTS: [operator_deployment()],
    }

    def call(*options: str, name: str = "new", **spec: Any) -> tuple[int, Any, str]:
        fields: Document = {"images": 10_000, "sink": {"uri": f"s3://rows/{name}"}, "source": {"synthetic": {}}} | spec
        document = infj(**fields)
        document["metadata"] = {"name": name}
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(document))
        code = main(["plan", "-f", str(path), "--cluster", *(options or ("-o", "json"))])
        captured = capsys.readouterr()
        return code, captured.out if options else json.loads(captured.out or "null"), captured.err

    return call


def promised(api_server: SmallAPIServer) -> None:
    """A Hard job that was promised all eight slices for 590 s from now on."""
    now_us = time.time_ns() // 1000
    begins, ends = format_time(now_us), format_time(now_us + 590 * SECOND)
    window = WindowStatus(
        device_class="cpu-1",
        engine="openvino",
        from_time=begins,
        to_time=ends,
        count=8,
        mini_batch_size=16,
        images=750_000,
    )
    plan = plan_status(ends, revision=0, gpus=8, part_size=64, windows=(window,)).document()
    made = {"name": "other", "uid": "u-2", "namespace": "elsewhere", "creationTimestamp": begins}
    accepted = indexed(images=740_000, plan=plan, observedGeneration=1)
    api_server.lists[JOBS] = [infj(metadata=made, status=accepted, deadline="10m", deadlineClass="Hard")]


def test_in_a_free_cluster_it_starts_now(preview: Preview, api_server: SmallAPIServer) -> None:
    code, answer, err = preview()
    (job,) = answer["jobs"]
    assert (code, err) == (0, "")
    assert (answer["feasible"], answer["assumptions"]) == (True, [])
    assert (job["namespace"], job["name"], job["action"], job["gpus"], job["lowerBound"]) == (
        "own",
        "new",
        "Start",
        2,
        2,
    )
    assert (job["deadlineSeconds"], job["expectedSeconds"], job["slackSeconds"] > 0) == (60, 32, True)
    (window,) = job["windows"]
    assert (window["deviceClass"], window["count"], window["from"], window["to"]) == ("cpu-1", 2, 0, 32)
    assert answer["pool"] == [{"deviceClass": "cpu-1", "devices": 8, "peak": 2, "pool": None}]
    assert {asked.split()[0] for asked in api_server.asked} == {"GET"}


def test_where_devices_are_promised_until_later_it_starts_then(preview: Preview, api_server: SmallAPIServer) -> None:
    promised(api_server)
    code, answer, _ = preview(deadline="30m", deadlineClass="Hard")
    (job,) = answer["jobs"]
    assert (code, job["action"]) == (0, "Reserve")
    (window,) = job["windows"]
    assert 580 < window["from"] < 610 < window["to"] < 1800
    code, table, _ = preview("-o", "table", deadline="30m", deadlineClass="Hard")
    assert re.search(r"^new  Hard   Reserve +1 ", table, re.M)
    assert "new: Starts at " in table
    assert "<svg" in preview("-o", "html", deadline="30m", deadlineClass="Hard")[1]


def test_a_hard_job_that_does_not_fit_is_refused_for_its_deadline(preview: Preview, api_server: SmallAPIServer) -> None:
    promised(api_server)
    code, answer, _ = preview(deadline="2m", deadlineClass="Hard", images=100_000)
    (job,) = answer["jobs"]
    assert (code, answer["feasible"], job["action"], job["windows"]) == (3, False, "Refuse", [])
    assert job["message"].startswith(
        "Within 10m00s new and 1 job of another namespace need at least 1.5 CPU slice-hours"
    )


def test_the_operators_settings_are_those_of_its_deployment(preview: Preview, api_server: SmallAPIServer) -> None:
    prices = {"prices": {"currency": "EUR", "classes": [{"class": "cpu-1", "perHour": 36}]}}
    own = ("--watch-namespace=own", f"--prices={json.dumps(prices)}", "--of-a-later-version=1")
    api_server.lists[DEPLOYMENTS] = [operator_deployment("--watch-namespace=other"), operator_deployment(*own)]
    cost = preview()[1]["jobs"][0]["cost"]
    assert (cost["currency"], cost["total"], cost["startUp"]) == ("EUR", 0.66, 0.024)
    assert "\nnew is expected to cost 0.660 EUR.\n" in preview("-o", "table")[1]


def test_what_may_not_be_read_is_said_with_what_counts_instead(preview: Preview, api_server: SmallAPIServer) -> None:
    promised(api_server)
    for path in (*EVERYWHERE, OWN[-1], DEPLOYMENTS):
        api_server.answers[path] = status(403, "forbidden")
    code, answer, _ = preview(deadline="2m", deadlineClass="Hard", images=100_000)
    assert (code, answer["jobs"][0]["action"]) == (0, "Start")
    assert answer["assumptions"] == [
        "You may not read deployments: the plan is made without the chart's prices, budgets, promises, stores, "
        "nodePools, capacity, maintenance and gpuClassLabels.",
        "You may not read inferencejobs of other namespaces than own: what is reserved for jobs there counts as free.",
        "You may not read pods of other namespaces than own: devices that pods have there count as free.",
        "You may not read jobs.batch of other namespaces than own: jobs there count as if they had no workers.",
        "You may not read resourcequotas: no quota counts.",
    ]


@pytest.mark.parametrize("path", [NODES, PROFILES])
def test_without_the_right_to_read_nodes_or_profiles_there_is_no_plan(
    preview: Preview, api_server: SmallAPIServer, path: str
) -> None:
    said = f'User "ann" cannot list {path}'
    api_server.answers[path] = status(403, said)
    assert preview() == (
        1,
        None,
        f"dueby plan: {said}. A plan needs the rights to list nodes and gpuprofiles.dueby.dev, which are of the whole "
        "cluster; without them, give `dueby plan` the devices with --pool, and their --profiles\n",
    )


def test_images_are_counted_by_the_cluster_and_not_here(preview: Preview) -> None:
    code, _, err = preview(images=None, source={"uri": "/data/photos"})
    assert (code, "spec.images: is missing, and the cluster counts them once the job is there" in err) == (2, True)


def test_without_an_operator_it_is_said_that_nothing_starts(preview: Preview, api_server: SmallAPIServer) -> None:
    api_server.lists[DEPLOYMENTS] = []
    (sentence,) = preview()[1]["assumptions"]
    assert sentence.startswith("No operator of the chart was found that watches the namespace own: until there is one")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(("--pool", "cpu-1=2"), "--pool: can't be given with --cluster", id="another pool"),
        pytest.param(("--curve",), "--curve: can't be given with --cluster", id="a curve"),
        pytest.param(("-n", "a", "-o", "svg"), "-o: svg is the picture of a curve", id="a curve's picture"),
    ],
)
def test_what_a_cluster_says_itself_is_no_option(preview: Preview, options: tuple[str, ...], sentence: str) -> None:
    code, _, err = preview(*options)
    assert (code, sentence in err) == (2, True)


def test_a_job_that_is_there_is_not_planned_again(preview: Preview, api_server: SmallAPIServer) -> None:
    promised(api_server)
    code, _, err = preview("-n", "elsewhere", name="other")
    assert (code, "the namespace elsewhere has a job other, whose plan" in err) == (2, True)
