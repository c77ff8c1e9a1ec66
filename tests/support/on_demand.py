"""Parts of tests of measuring on demand for everybody: a cluster with the chart's profiler, and Jobs beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dueby_api.gpu_profile import GPUProfile
from dueby_api.schema import validate
from dueby_api.step_messages import ProfilingProgress
from dueby_operator.cluster.nodes import Node
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Add
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.profiling.attempts import OnDemandSnapshot
from support.decisions import MADE, SETTINGS, Look, cluster, infj, job, look_at
from support.node_profiles import PROFILER
from support.profiling import TWO

Document = dict[str, Any]


def look_for_all(
    *jobs: JobSnapshot | Document,
    made: Sequence[Document] = (),
    pods: Sequence[Document] = (),
    progress: Mapping[str, Document] | None = None,
    there: Mapping[str, Node] = TWO,
    profiles: Sequence[GPUProfile] = (),
    **more: Any,
) -> list[Look]:
    """Decide on the jobs, with what there is of measuring for everybody."""
    on_demand = OnDemandSnapshot(
        jobs=[parse(BatchJob, each) for each in made],
        pods=[parse(Pod, pod) for pod in pods],
        progress={name: validate(ProfilingProgress, said) for name, said in (progress or {}).items()},
    )
    seen = [each if isinstance(each, JobSnapshot) else job(each) for each in jobs]
    settings = replace(SETTINGS, profiler=PROFILER)
    whole = {"settings": settings, "on_demand": on_demand, "keeps_profiles": True, **more}
    return look_at(cluster(*seen, nodes=there, profiles=tuple(profiles), **whole))


def added(found: Look) -> list[Document]:
    """Return the Jobs that are to measure for everybody."""
    return [write.document for write in found.writes if isinstance(write, Add)]


def begun_for_all(*, there: Mapping[str, Node] = TWO, **spec: Any) -> list[Document]:
    """Return such Jobs once they exist."""
    (found,) = look_for_all(infj(**spec), there=there)
    return [there_now(document) for document in added(found)]


def there_now(document: Document, **conditions: str) -> Document:
    """Return the Job as the API server shows it; `Complete` or `Failed` with a reason once it has ended."""
    name = document["metadata"]["name"]
    said = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions.items()]
    metadata = {**document["metadata"], "uid": f"uid-of-{name}", "creationTimestamp": MADE}
    return {**document, "metadata": metadata, "status": {"conditions": said}}
