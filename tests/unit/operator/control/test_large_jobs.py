"""The largest job that anybody may ask for: it takes its own devices and time, and none of the operator's."""

import time
from dataclasses import replace
from typing import Any

from dueby_api.inference_job import MAX_N
from dueby_api.parts import parts_of_runs
from dueby_operator.jobs import names
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from support.decisions import indexed, infj, job, look, pod_of, started, worker_job_of
from support.operator import profile

SPEC: dict[str, Any] = {"images": MAX_N, "source": {"synthetic": {}}, "deadlineClass": "Soft"}
MAX_S = 5.0


def test_a_million_millions_of_images_are_planned_and_watched_in_no_time() -> None:
    began_s = time.process_time()
    first = look(infj(status=indexed(images=MAX_N), **SPEC))
    (create,) = first.created
    plan = first.status.plan
    assert plan
    assert MAX_N // plan.part_size > 10**7
    pods = [pod_of(create, index) for index in range(create.job["spec"]["completions"])]
    document = infj(status=first.status.document(), **SPEC)
    there = parts_of_runs([(0, 5), (10, 11)])
    second = look(job(document, worker_jobs=[worker_job_of(create)], pods=pods, memory=first.memory, parts_there=there))
    assert second.status.progress
    assert second.status.progress.images_done == 6 * plan.part_size
    assert time.process_time() - began_s < MAX_S


def test_thousands_of_jobs_and_pods_of_one_job_are_looked_through_in_no_time() -> None:
    begun, count = started(), 3000
    (there,), pod = begun.worker_jobs, parse(Pod, begun.pods[0])
    jobs = [
        replace(
            there,
            job=there.job.replace(metadata=there.job.metadata.replace(name=f"forged-{number}", uid=f"uid-{number}")),
            assignments=[replace(there.assignments[0], worker=f"w{number}")],
        )
        for number in range(count)
    ]
    pods = [
        pod.replace(metadata=pod.metadata.replace(labels={**pod.metadata.labels, names.JOB_OF_POD: f"forged-{number}"}))
        for number in range(count)
        for _ in range(3)
    ]
    began_s = time.process_time()
    look(replace(begun.job(worker_jobs=jobs), pods=pods))
    assert time.process_time() - began_s < MAX_S


def test_a_finish_beyond_all_calendars_is_the_last_moment_of_them() -> None:
    slow = profile()
    step = slow.spec.steps[-1]
    latency = step.latency_micros.replace(mean=6 * 10**7)
    slow = slow.replace(spec=slow.spec.replace(steps=(step.replace(latency_micros=latency),)))
    found = look(infj(status=indexed(images=MAX_N), **SPEC), profiles=(slow,))
    assert found.said("Feasible") == ("False", "Late")
    assert found.status.plan
    assert found.status.plan.expected_finish == "9999-12-31T23:59:59Z"
