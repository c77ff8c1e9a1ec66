"""Where workers are put: what one job can use and another can't is left to the first."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_operator.model.job_snapshot import JobSnapshot
from support.decisions import Look, cluster, indexed, infj, job, look_at, node

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
PICKY = {"worker": {"nodeSelector": {"pool": "a"}}}
NODES = {"a": replace(node("a", cpus=4), labels={"pool": "a"}), "b": node("b", cpus=4)}


def job_of(name: str, deadline_class: DeadlineClass, **spec: Any) -> JobSnapshot:
    """It needs four devices."""
    metadata = {"name": name, "uid": f"u-{name}"}
    fields = {"deadline": "21s", "deadlineClass": deadline_class, **spec}
    return job(infj(status=indexed(), metadata=metadata, **fields))


def preferred(look: Look) -> list[str]:
    """The nodes on which the job's pods are rather put."""
    (create,) = look.created
    affinity = create.job["spec"]["template"]["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = [term["preference"]["matchFields"] for term in affinity.get(PREFERRED, [])]
    assert all(one["key"] == "metadata.name" and one["operator"] == "In" for (one,) in terms)
    return [one["values"][0] for (one,) in terms]


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_job_that_could_be_anywhere_leaves_a_node_to_one_that_could_not(deadline_class: DeadlineClass) -> None:
    anywhere, picky = job_of("anywhere", deadline_class), job_of("picky", deadline_class, **PICKY)
    found = {each.decision.job.name: each for each in look_at(cluster(anywhere, picky, nodes=NODES))}
    assert preferred(found["anywhere"]) == ["b"]


def test_both_begin_at_once() -> None:
    found = look_at(cluster(job_of("anywhere", "Hard"), job_of("picky", "Hard", **PICKY), nodes=NODES))
    begun = {each.decision.job.name: [create.job["spec"]["completions"] for create in each.created] for each in found}
    assert begun == {"anywhere": [4], "picky": [4]}


def test_where_every_job_could_be_anywhere_the_scheduler_chooses() -> None:
    (first, second) = look_at(cluster(job_of("first", "Hard"), job_of("second", "Hard"), nodes=NODES))
    assert preferred(first) == preferred(second) == []
