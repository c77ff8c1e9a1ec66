"""Plans of thousands of workers: the API server takes each document, and they are read back as they were planned."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.conditions import Reason
from dueby_api.grid import Share
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import parts_of
from dueby_api.status import AlternativesStatus
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.render import render
from dueby_operator.jobs.manifests import MAX_WORKERS_OF_JOB
from dueby_operator.jobs.pod_diagnosis import diagnose_admission
from dueby_operator.jobs.pod_state import worker_models
from dueby_operator.model.actions import StartWorkers
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Create
from dueby_planner.schedule.job import MAX_WORKERS, Assignment, WorkerModel
from dueby_planner.schedule.watch import NewWorker, assign
from support.decisions import SETTINGS, a_batch, infj, job, look, pod_of, started, worker_job_of
from support.operator import NOW, choice, model, worker
from support.profiling import A100, L4, gpu_node, nodes

# What the API server takes of a ConfigMap, and etcd of a request.
MAX_CONFIG_MAP, MAX_REQUEST = 2**20, 1.5 * 2**20
# N of an InferenceJob is at most this; its parts hold 65,536 images then.
MAX_PARTS = 10**12 // 65_536


def planned(number: int, *, classes: Sequence[str], parts: int, workers: int) -> Assignment:
    """A worker with a share of a large grid; times, sizes and iterations differ as those of a mixed plan do."""
    size = 256 >> number % 2
    return Assignment(
        worker=f"w{number}",
        revision=1,
        device_class=classes[number % len(classes)],
        choice=replace(choice(), mini_batch_size=size, latency_us=999_999_999 + size, profile="p" * 253),
        iterations=10**9 + number,
        share=Share(first=parts * number // workers, end=parts * (number + 1) // workers),
    )


def creates(
    assignments: Sequence[Assignment], *, before: Sequence[Share] = (), classes: Sequence[str] = (A100, L4), **spec: Any
) -> list[Create]:
    """The Jobs and ConfigMaps that start these workers."""
    there = nodes(*(gpu_node(f"n{i}", name) for i, name in enumerate(classes)))
    start = StartWorkers(
        assignments=tuple(assignments),
        before=tuple(before),
        revision=assignments[0].revision,
        images=10**12,
        part_size=65_536,
        fingerprint="f" * 64,
        reason="Started",
    )
    seen = job(infj(metadata={"name": "j" * 40}, **spec))
    assert isinstance(seen.manifest, InferenceJob)
    writes = render((start,), seen, seen.manifest, ClusterDevices(settings=SETTINGS, now_us=NOW, nodes=there))
    return [write for write in writes if isinstance(write, Create)]


def size_of(create: Create) -> int:
    """What the API server counts: the bytes of all values."""
    return sum(len(value.encode()) for value in create.config_map["data"].values())


def models_of(worker_jobs: Sequence[WorkerJob]) -> tuple[WorkerModel, ...]:
    return worker_models(worker_jobs, [], {}, answered_since={}, part_size=1, silent_nodes=(), absent=(), now_us=NOW)


@pytest.mark.parametrize("count", [4096, 10_000])
def test_thousands_of_workers_are_started_and_read_back_as_they_were_planned(count: int) -> None:
    assignments = [planned(n, classes=[A100, L4, "cpu-1"], parts=200 * count, workers=count) for n in range(count)]
    made = creates(assignments)
    assert all(size_of(create) < 0.8 * MAX_CONFIG_MAP for create in made)
    assert all(len(json.dumps(create.config_map)) < 0.8 * MAX_REQUEST for create in made)
    assert all(create.job["spec"]["completions"] <= MAX_WORKERS_OF_JOB for create in made)
    assert len({create.job["metadata"]["name"] for create in made}) == len(made) == 3 * -(-count // 3000)
    # The API server lists Jobs by name.
    by_name = sorted((worker_job_of(create) for create in made), key=lambda found: found.name)
    assert [found.assignment for found in models_of(by_name)] == assignments


def test_each_pod_finds_itself_in_the_configuration_of_its_job() -> None:
    assignments = [planned(n, classes=[A100, L4], parts=10**6, workers=4096) for n in range(4096)]
    for create in creates(assignments):
        config = json.loads(create.config_map["data"]["config.json"])
        for own in config["workers"]:
            number = int(own["worker"].removeprefix("w"))
            assert own["rank"] == number
            assert own["share"] == config["shares"][number]


def test_the_most_workers_that_a_job_may_have_had_still_have_room() -> None:
    """Helpers of a class of 128 letters that come last, each of which knows all the others."""
    classes = ["N" * 128]
    everyone = [planned(n, classes=classes, parts=MAX_PARTS, workers=MAX_WORKERS) for n in range(MAX_WORKERS)]
    last = everyone[-MAX_WORKERS_OF_JOB:]
    before = [assignment.share for assignment in everyone[:-MAX_WORKERS_OF_JOB]]
    (create,) = creates(last, before=before, classes=classes)
    assert size_of(create) < 0.95 * MAX_CONFIG_MAP
    assert worker_job_of(create).assignments == last


@pytest.mark.parametrize(("last", "is_helped"), [(MAX_WORKERS - 1, False), (MAX_WORKERS - 50, True)])
def test_no_more_workers_are_started_than_have_room(last: int, is_helped: bool) -> None:
    begun = started()
    (there,) = begun.worker_jobs
    *others, end = there.assignments
    status = there.job.status.replace(failed_indexes=f"0-{len(others)}")
    lost = replace(there, job=there.job.replace(status=status), assignments=[*others, replace(end, worker=f"w{last}")])
    found = look(begun.job(worker_jobs=[lost], pods=[]))
    assert bool(found.created) == is_helped
    assert found.said("OnTrack")[1] == ("InTime" if is_helped else "Late")


def test_a_pod_of_a_second_chunk_is_its_own_worker() -> None:
    assignments = [planned(n, classes=[A100], parts=10**6, workers=1500) for n in range(1500)]
    made = creates(assignments)
    assert [create.job["spec"]["completions"] for create in made] == [1000, 500]
    pod = pod_of(made[1], 7)
    seen = job(
        infj(),
        worker_jobs=[worker_job_of(create) for create in made],
        pods=[pod],
        progress={pod["metadata"]["name"]: a_batch()},
    )
    of_jobs = Counter(found.group for found in seen.workers)
    assert of_jobs == {create.job["metadata"]["name"]: create.job["spec"]["completions"] for create in made}
    assert [found.name for found in seen.workers] == [f"w{n}" for n in range(1500)]
    assert [found.name for found in seen.workers if found.state == "running"] == ["w1007"]


def test_of_a_large_plan_in_a_queue_each_job_is_admitted_for_itself() -> None:
    assignments = [planned(n, classes=[A100], parts=10**6, workers=4500) for n in range(4500)]
    made = creates(assignments, queueName="night")
    assert all(create.job["spec"]["suspend"] for create in made)
    made[0].job["spec"]["suspend"] = False
    seen = job(infj(queueName="night"), worker_jobs=[worker_job_of(create) for create in made])
    assert Counter(found.state for found in seen.workers) == {"starting": 1000, "queued": 3500}
    said = diagnose_admission(seen)
    assert said.reason == Reason.QUEUED
    first = made[1].job["metadata"]["name"]
    assert said.message.startswith(first)
    assert " and 1 more wait in the queue night" in said.message


def test_the_status_of_a_job_on_thousands_of_gpus_has_room_even_if_each_node_is_slow_in_its_own_way() -> None:
    """512 nodes of 8 GPUs: a class, a group, a warning and a proposal for each."""
    begun = started().look.status
    assert begun.plan is not None
    classes = [f"{'N' * 63}@{n:0>253}" for n in range(512)]
    (group,) = begun.plan.groups
    groups = tuple(group.replace(device_class=name, count=8, profile="p" * 253, interpolated=True) for name in classes)
    warnings = tuple(f"the profile of {name}: {'w' * 100}" for name in classes)
    alternatives = AlternativesStatus(extra_gpus=dict.fromkeys(classes, 4096))
    status = begun.replace(plan=begun.plan.replace(groups=groups, warnings=warnings), alternatives=alternatives)
    assert len(json.dumps(status.document())) < MAX_REQUEST / 2


class TestHelpers:
    HELPER = NewWorker("cpu-1", choice(), images=160)

    def test_a_helpers_number_is_that_of_nobody_that_is_there(self) -> None:
        """Workers of a Job that was deleted are seen no more."""
        there = (worker("w3", first=0, end=10), worker("w4", first=10, end=20))
        (helper,) = assign(model(workers=there, part_size=500), [self.HELPER])
        assert helper.worker == "w5"

    def test_the_places_of_workers_that_are_gone_are_kept_empty(self) -> None:
        begun = job(infj(), worker_jobs=[worker_job_of(create) for create in creates([worker("w2", end=4).assignment])])
        assert begun.shares == (Share(first=0, end=0), Share(first=0, end=0), Share(first=0, end=4))

    def test_helpers_get_what_lost_workers_left(self) -> None:
        kept = [worker(f"w{n}", first=first, end=end) for n, (first, end) in enumerate([(8, 12), (0, 3), (5, 9)])]
        lost = worker("w3", first=3, end=20, state="lost")
        there = model(workers=(*kept, lost), part_size=500, parts_there=parts_of({4}))
        (helper,) = assign(there, [self.HELPER])
        assert (helper.share.first, helper.share.end) == (3, 20)

    def test_a_loss_among_thousands_is_made_up_for_at_once(self) -> None:
        kept = [worker(f"w{n}", first=100 * n, end=100 * n + 100) for n in range(1, 4096)]
        there = model(workers=tuple(kept), part_size=1, images=409_600)
        began = time.process_time()
        (helper,) = assign(there, [self.HELPER])
        assert (helper.share.first, helper.share.end) == (0, 100)
        assert time.process_time() - began < 5
