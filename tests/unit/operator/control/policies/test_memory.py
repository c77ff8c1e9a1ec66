"""Memory: is the limit of the workers' containers enough for their mini-batches?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.gpu_profile import GPUProfile
from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.model.writes import Create, Delete
from support.decisions import NOW, SECOND, Look, a_batch, indexed, infj, job, look, pod_of, worker_job_of
from support.operator import STEP_US, profile

LIMIT = {"resources": {"limits": {"memory": "400Mi"}}}
Document = dict[str, Any]


def measured(memory_mib: Mapping[int, int | None]) -> GPUProfile:
    """Return the profile of a slice by size, with the memory of each; the larger a size, the faster it is."""
    found = profile()
    (step,) = found.spec.steps
    steps = tuple(
        step.replace(
            mini_batch_size=size,
            memory_mib=mib,
            latency_micros=step.latency_micros.replace(mean=STEP_US * size // 16 + STEP_US),
        )
        for size, mib in sorted(memory_mib.items())
    )
    return found.replace(spec=found.spec.replace(steps=steps))


def ended(create: Create, reasons: str) -> list[Document]:
    """Return the pods of the first worker, one after the other: O was OOMKilled, K killed, E ended, R runs."""
    states: dict[str, dict[str, Document]] = {
        "O": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        "K": {"terminated": {"exitCode": 137, "reason": "Error"}},
        "E": {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}},
        "R": {"running": {}},
    }
    pods = []
    for number, letter in enumerate(reasons):
        at = format_time(NOW + number * SECOND)
        state = {kind: {**told, "finishedAt": at} for kind, told in states[letter].items()}
        phase = "Running" if letter == "R" else "Failed"
        pod = pod_of(create, phase=phase, containerStatuses=[{"name": "dueby", "state": state}])
        pod["metadata"] |= {"name": f"{pod['metadata']['name']}-{number}", "creationTimestamp": at}
        pod["spec"]["containers"] = create.job["spec"]["template"]["spec"]["containers"]
        pods.append(pod)
    return pods


def look_after(
    reasons: str, of: GPUProfile, *, is_deleting: bool = False, progress: Document | None = None, **status: Any
) -> tuple[Look, Create]:
    """Start a job's workers, let the first one's pods end so, and look at it."""
    first = look(infj(status=indexed(), worker=LIMIT), profiles=(of,))
    (create,) = first.created
    there = worker_job_of(create)
    if is_deleting:
        metadata = there.job.metadata.replace(deletion_timestamp=format_time(NOW))
        there = replace(there, job=there.job.replace(metadata=metadata))
    pods = ended(create, reasons)
    reports = {pods[-1]["metadata"]["name"]: progress} if progress else {}
    document = infj(status={**first.status.document(), **status}, worker=LIMIT)
    seen = job(document, worker_jobs=[there], pods=pods, progress=reports, memory=first.memory)
    return look(seen, profiles=(of,), now_us=NOW + 10 * SECOND), create


@pytest.mark.parametrize("reasons", ["O", "EO", "OR"])
def test_once_is_told_with_the_limit_and_what_to_raise(reasons: str) -> None:
    found, _ = look_after(reasons, measured({16: 300}))
    assert found.said("OnTrack") == ("False", "OutOfMemory")
    assert "needed more memory than its limit of 400Mi; raise spec.worker.resources.limits.memory" in found.message(
        "OnTrack"
    )
    assert not found.writes


@pytest.mark.parametrize(
    ("reasons", "progress"),
    [
        pytest.param("OR", a_batch(), id="it works again"),
        pytest.param("OOR", a_batch(), id="it works again after two"),
        pytest.param("OOE", None, id="it has ended otherwise since"),
    ],
)
def test_nothing_is_told_of_it_once(reasons: str, progress: Document | None) -> None:
    found, _ = look_after(reasons, measured({16: 300}), progress=progress)
    assert found.condition("OnTrack").reason != "OutOfMemory"
    assert not any(isinstance(write, Delete) for write in found.writes)


def test_of_a_gpus_worker_the_memory_beside_the_gpu_counts() -> None:
    found = measured({2: 9000, 4: 9000, 16: 9000})
    steps = tuple(
        step.replace(host_memory_mib=peak) for step, peak in zip(found.spec.steps, (300, 400, 800), strict=True)
    )
    on_gpu = found.replace(spec=found.spec.replace(engine="cudagraph", steps=steps))

    looked, _ = look_after("OO", on_gpu)

    assert looked.status.mini_batch_limits == {"cpu-1": 2}


@pytest.mark.parametrize(
    ("sizes", "limit"),
    [
        pytest.param({2: 100, 4: 200, 8: 300, 16: 390}, 4, id="a quarter of it that was measured below the limit"),
        pytest.param({2: 399, 4: 400, 8: 410, 16: 420}, 2, id="a smaller one, where a quarter needs the whole limit"),
        pytest.param({1: None, 4: None, 16: None}, 4, id="a quarter of it, where no memory was measured"),
    ],
)
def test_after_two_in_a_row_the_rest_is_planned_with_a_smaller_mini_batch(
    sizes: dict[int, int | None], limit: int
) -> None:
    found, create = look_after("OO", measured(sizes))
    name = create.job["metadata"]["name"]
    assert found.writes == (Delete(path=paths.batch_path("team", name), uid="j", waits=True),)
    assert found.said("Admitted") == ("False", "WaitingForCleanup")
    assert f"planned with at most {limit} on cpu-1" in found.message("Admitted")
    assert found.status.mini_batch_limits == {"cpu-1": limit}
    leaving, _ = look_after("OO", measured(sizes), is_deleting=True, miniBatchLimits={"cpu-1": limit})
    assert not leaving.writes
    gone = look(infj(status=found.status.document(), worker=LIMIT), profiles=(measured(sizes),))
    assert gone.started_names[0].startswith("job-r2-")
    assert {worker.choice.mini_batch_size for worker in worker_job_of(gone.created[0]).assignments} == {limit}


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({16: 390}, id="there is no smaller one"),
        pytest.param({8: 200, 16: 390}, id="the smaller one is hardly smaller"),
        pytest.param({1: 500, 4: 600, 16: 700}, id="each was measured above the limit"),
    ],
)
def test_after_two_in_a_row_a_job_for_which_no_mini_batch_is_small_enough_has_failed(
    sizes: dict[int, int | None],
) -> None:
    found, _ = look_after("OO", measured(sizes))
    assert found.said("Failed") == ("True", "OutOfMemory")
    assert "limit of 400Mi; raise spec.worker.resources.limits.memory. It happened twice in a row" in found.message(
        "Failed"
    )


@pytest.mark.parametrize(("reasons", "has_failed"), [("KO", True), ("OK", True), ("KK", False), ("EO", False)])
def test_of_two_in_a_row_one_must_have_said_why_it_was_killed(reasons: str, has_failed: bool) -> None:
    found, _ = look_after(reasons, measured({16: 390}))
    assert ("Failed" in [each.type for each in found.status.conditions]) is has_failed


def test_an_edit_lifts_the_bound_since_it_may_have_raised_the_limit() -> None:
    sizes = measured({4: 100, 16: 300})
    status = indexed(miniBatchLimits={"cpu-1": 4}, observedGeneration=1)
    bounded, lifted = (
        look(infj(status=status, metadata={"generation": generation}), profiles=(sizes,)) for generation in (1, 2)
    )
    assert bounded.status.mini_batch_limits == {"cpu-1": 4}
    assert lifted.status.mini_batch_limits is None
