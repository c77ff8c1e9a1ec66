"""How workers are taken away: whole Jobs where all of one are meant, otherwise the highest indices of it. Pure.

An Indexed Job shrinks at its end only, so the worker that goes is not always the one that was meant; the others take
over its share either way. A worker that hangs is not taken away: its pod is, and the Job makes another one.
"""

from collections.abc import Collection

from dueby_operator.control.model import GONE, JobView, Stop
from dueby_operator.control.writes import Change, Delete, Write
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import Crew, Seen


def stop_workers(seen: Seen, view: JobView, stop: Stop) -> list[Write]:
    """What takes these workers away."""
    made: list[Write] = []
    for crew in seen.crews:
        own = {assignment.worker for assignment in crew.assignments}
        alive = [w.assignment.worker for w in view.workers if w.state not in GONE and w.assignment.worker in own]
        meant = [name for name in alive if name in stop.workers]
        if not meant:
            continue
        path = names.batch_path(seen.namespace, crew.name)
        left = int(crew.job["spec"]["completions"]) - len(meant)
        if stop.reason == "WorkerLost":
            made += _delete_pods(seen, crew, meant)
        elif left <= 0:
            made.append(Delete(path=path))
        elif names.QUEUE not in crew.job["metadata"]["labels"]:  # Kueue would kill all of an admitted Job's pods
            made.append(Change(path=path, fields={"spec": {"completions": left, "parallelism": left}}))
    return made


def stop_all(seen: Seen) -> list[Write]:
    """What takes every worker away."""
    return [Delete(path=names.batch_path(seen.namespace, crew.name)) for crew in seen.crews]


def _delete_pods(seen: Seen, crew: Crew, workers: Collection[str]) -> list[Write]:
    indices = {i for i, assignment in enumerate(crew.assignments) if assignment.worker in workers}
    return [
        Delete(path=names.core_path("pods", seen.namespace, pod["metadata"]["name"]))
        for pod in seen.pods
        if pod["metadata"]["labels"].get(names.JOB_OF_POD) == crew.name
        and int(pod["metadata"]["labels"].get(names.INDEX_OF_POD, -1)) in indices
    ]
