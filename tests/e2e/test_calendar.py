"""Jobs of several deadline classes on two GPUs of one node, which only the scheduler and the operator believe in.

By their profile they do less than this machine does, so that jobs end earlier than planned. What a job has shown of its
devices counts for the jobs after it, so each test has a class of its own.
"""

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.kind.cluster import OPERATOR_NAMESPACE, Cluster
from support.kind.cluster_job import (
    SLOW,
    condition,
    indices_of,
    parts_in,
    share_folder,
    wait_for_end,
    wait_until_told,
    workers_of,
)
from support.kind.gpus import gpus_of_a_class, job_on_gpus
from support.report_page import words_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# Of 8 images: a GPU does 100 a second, or 50. With 50 there is half a minute until a job that needs nearly all of its
# time is planned, and a busy machine takes ten seconds.
LATENCY_US, LONG_LATENCY_US = 80_000, 160_000
# Two slow workers are not done with so many before a shorter job has come and gone.
MANY = 40_000


@contextmanager
def calendars_page(cluster: Cluster) -> Iterator[Callable[[], str]]:
    """What asks for the page that the operator shows on its pod's loopback."""
    with cluster.forwarded("deployment/dueby-operator", 8082, namespace=OPERATOR_NAMESPACE) as port:

        def ask() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                return str(answer.read(), "utf-8")

        yield ask


def start_slow_job(
    cluster: Cluster, name: str, folder: Path, *, on: str, parts: int, gpus: int = 2, **spec: Any
) -> None:
    """Start a job that takes long on so many devices, and wait until so many parts of it are there."""
    document = job_on_gpus(cluster, name, images=MANY * gpus // 2, device_class=on, **spec)
    document["spec"]["gpus"]["max"] = gpus
    document["spec"]["worker"]["resources"] = SLOW
    cluster.apply(document)
    cluster.wait_for_phase(name, "Running")
    assert len(workers_of(cluster, name)) == gpus
    cluster.wait(lambda: len(parts_in(folder / "rows")) >= parts, f"{parts} parts of {name} are there")


def test_jobs_of_four_classes_get_what_was_promised_to_each(cluster: Cluster) -> None:
    """With an operator that is killed while the Hard one has all devices."""
    folders = {name: share_folder(cluster, name) for name in ("sweep", "archive", "preview", "catalog")}
    on = "NVIDIA-L20"
    with gpus_of_a_class(cluster, on, LONG_LATENCY_US, 3):
        # Neither can be in time: the first one has two devices, and the other what is left.
        for name, gpus, deadline, kind in (("sweep", 2, "40s", "Relaxed"), ("archive", 1, "10s", "BestEffort")):
            asked = {"deadline": deadline, "deadlineClass": kind}
            start_slow_job(cluster, name, folders[name], on=on, parts=1, gpus=gpus, **asked)

        # The Hard one needs all three for nearly all of its time, and the Soft one two of them by an earlier deadline.
        cluster.apply(
            job_on_gpus(cluster, "preview", device_class=on, images=10_000, deadline="110s", deadlineClass="Soft"),
            job_on_gpus(cluster, "catalog", device_class=on, images=25_000, deadline="200s", deadlineClass="Hard"),
        )
        cluster.wait_for_phase("catalog", "Running", "Finishing", "Succeeded")
        cluster.kill_operator()
        done = {name: wait_for_end(cluster, name, folder / "rows") for name, folder in folders.items()}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert indices_of(folders[name] / "rows") == list(range(document["spec"]["images"]))
    assert condition(done["catalog"], "DeadlineMet")["status"] == "True"
    for name in ("sweep", "archive"):
        # It was done later, so it got devices again.
        assert "GaveWay" in {each["reason"] for each in done[name]["status"]["replans"]}, done[name]["status"]
        assert done["catalog"]["status"]["ends"] < done[name]["status"]["ends"]


@pytest.mark.deep
def test_a_hard_job_hands_its_devices_to_one_that_has_no_place_otherwise(cluster: Cluster) -> None:
    folders = {name: share_folder(cluster, name) for name in ("running", "urgent")}
    on = "NVIDIA-A16"
    with gpus_of_a_class(cluster, on, LONG_LATENCY_US, 3):
        # After ten parts it is known how fast its workers are.
        start_slow_job(cluster, "running", folders["running"], on=on, parts=10, deadline="12m", deadlineClass="Hard")

        # It needs all three devices for nearly all of its time, so that it can't wait for the other job's end.
        urgent = job_on_gpus(cluster, "urgent", device_class=on, images=25_000, deadline="200s", deadlineClass="Hard")
        cluster.apply(urgent)
        done = {name: wait_for_end(cluster, name, folder / "rows") for name, folder in folders.items()}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert condition(document, "DeadlineMet")["status"] == "True"
        assert indices_of(folders[name] / "rows") == list(range(document["spec"]["images"]))
    # It may have given one back before, since it is faster than planned.
    assert ("GaveWay", 0) in [(each["reason"], each["to"]) for each in done["running"]["status"]["replans"]]


@pytest.mark.deep
def test_two_hard_jobs_that_only_fit_one_after_the_other_are_both_in_time(cluster: Cluster) -> None:
    """With an operator that is killed while the second one waits for its window."""
    folders = {name: share_folder(cluster, name) for name in ("first", "second")}
    on = {"device_class": "NVIDIA-L40"}
    with gpus_of_a_class(cluster, on["device_class"], LATENCY_US, 2):
        # Each of them takes both GPUs for more than a minute.
        cluster.apply(
            job_on_gpus(cluster, "first", images=16_000, deadline="150s", deadlineClass="Hard", **on),
            job_on_gpus(cluster, "second", images=16_000, deadline="230s", deadlineClass="Hard", **on),
        )
        reserved = wait_until_told(cluster, "second", "Feasible", reason="Reserved")
        assert reserved["message"].startswith("Starts at ")
        waiting = cluster.get("infj", "second")["status"]
        assert waiting["phase"] == "Scheduled"
        assert waiting["plan"]["windows"]
        cluster.kill_operator()
        headings, _ = cluster.kubectl("get", "infj", "second").splitlines()
        assert headings.split() == ["NAME", "PHASE", "GPUS", "IMAGES", "ENDS", "SLACK", "AGE"]

        done = {name: cluster.wait_for_phase(name, "Succeeded", "Failed") for name in folders}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert condition(document, "DeadlineMet")["status"] == "True"
        assert indices_of(folders[name] / "rows") == list(range(16_000))
    assert done["second"]["status"]["starts"] >= done["first"]["status"]["starts"]


def test_what_fits_beside_no_promise_is_refused_with_the_jobs_and_numbers(cluster: Cluster) -> None:
    share_folder(cluster, "promised")
    on = {"device_class": "NVIDIA-A40"}
    with gpus_of_a_class(cluster, on["device_class"], LATENCY_US, 2):
        # At once, since the first one needs fewer devices as soon as it is seen to be faster than its profile says.
        deadlines = {"promised": "130s", "refused": "150s"}
        cluster.apply(
            *(
                job_on_gpus(cluster, name, images=20_000, deadline=deadline, deadlineClass="Hard", **on)
                for name, deadline in deadlines.items()
            )
        )
        refused = condition(cluster.wait_for_phase("refused", "Failed"), "Failed")
        with calendars_page(cluster) as page:
            told = f"{cluster.namespace}/refused was refused at "
            words = cluster.wait(lambda: found if told in (found := words_of(page())) else "", "the page tells of it")
        # Jobs that are over are looked at once a minute.
        cluster.kubectl("patch", "infj", "refused", "--type=merge", "-p", '{"spec": {"deadline": "30m"}}')
        tried = cluster.wait_for_phase("refused", "Scheduled", "Starting", "Running", "Succeeded")
        cluster.kubectl("delete", "infj", "promised", "refused")
    assert "Failed" not in {found["type"] for found in tried["status"]["conditions"]}
    assert refused["reason"] == "Infeasible"
    assert "promised" in refused["message"]
    assert refused["message"] in words
    assert "NVIDIA-A40 · 2 devices" in words
    assert re.search(r"need at least [0-9.]+ .+-(seconds|minutes), and there are", refused["message"])
