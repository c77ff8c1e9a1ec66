"""What tests of the cluster's decisions are made of: a job as the API server shows it, its Jobs and pods, a node."""

from collections.abc import Mapping
from typing import Any

from dueby_operator.cluster.nodes import read_node
from dueby_operator.control.case import Case
from dueby_operator.control.conditions import moment
from dueby_operator.control.world import Memories, World
from dueby_operator.control.writes import Create
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Setting, read_assignments
from dueby_operator.jobs.pod_state import Crew, Seen
from support.operator import NOW, SECOND, profile

SETTING = Setting(image="dueby/worker:1")
MADE = moment(NOW)


def infj(*, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A job of 10,000 images with a minute, made now."""
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {
            "name": "job",
            "namespace": "team",
            "uid": "u-1",
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": MADE,
        },
        "spec": {
            "deadline": "60s",
            "model": {"name": "efficientnet_lite0"},
            "source": {"uri": "photos"},
            "sink": {"uri": "rows"},
            **spec,
        },
        **({"status": status} if status else {}),
    }


def indexed(**more: Any) -> dict[str, Any]:
    """The status of a job whose index step is done."""
    said = {"type": "Indexed", "status": "True", "reason": "Indexed", "message": "", "lastTransitionTime": MADE}
    return {"images": 10_000, "fingerprint": "f", "conditions": [said], **more}


def node(name: str = "n", cpus: int = 8) -> dict[str, Any]:
    """A node without GPUs."""
    return {
        "metadata": {"name": name, "labels": {}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": str(cpus), "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def world(**more: Any) -> World:
    """One node of eight cores, and the profile of a slice of one."""
    found = read_node(node())
    return World(**{"now_us": NOW, "nodes": {found.name: found}, "profiles": (profile(),), **more})


def look(document: Mapping[str, Any], *, seen: Seen | None = None, memory: Memories | None = None, **more: Any) -> Case:
    """The job's case, decided."""
    case = Case(
        seen or Seen(document=document, now_us=NOW), world(**more), setting=SETTING, memory=memory or Memories()
    )
    case.decide()
    return case


def crew_of(create: Create) -> Crew:
    """The Job that was to be created, as it is once it is there."""
    job = create.job | {"metadata": {**create.job["metadata"], "uid": "j", "creationTimestamp": MADE}, "status": {}}
    return Crew(job=job, assignments=read_assignments(create.config_map))


def pod_of(create: Create, index: int = 0, *, node: str = "n", **status: Any) -> dict[str, Any]:
    """A running pod of the Job."""
    job = create.job["metadata"]
    labels = {**job["labels"], names.JOB_OF_POD: job["name"], names.INDEX_OF_POD: str(index)}
    return {
        "metadata": {"name": f"{job['name']}-{index}", "labels": labels, "creationTimestamp": MADE},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": "10.0.0.1", **status},
    }


__all__ = ["NOW", "SECOND", "SETTING", "crew_of", "indexed", "infj", "look", "node", "pod_of", "world"]
