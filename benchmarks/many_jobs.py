"""What a pass of the operator costs by the number of objects that tenants have made: CPU time and peak memory.

    python benchmarks/many_jobs.py                      # four minutes; writes results/many_jobs.json
    python benchmarks/many_jobs.py --sizes 1000 3000    # fewer jobs

There is no API server: objects are made as it shows them, let in and parsed as each pass does it, and decided on by
the operator's own decide(snapshot), twice. The second pass sees what the first one has decided, and no workers. Each
row is a process of its own. One tenant has all jobs but one, which is the last and must be planned in the first pass:

- alike: tiny Hard jobs that need one device each, with deadlines from an hour on, on nodes of four GPUs
- profiles: the same, beside so many GPUProfiles of other models, and each tenth job has an image size of its own
- tolerations, hostnames: each job tolerates something else, or asks for a node of its own
- large: each manifest has 60 KiB, so that few of them are let in
- namespaces: alike, of 20 tenants with as many as are planned of each; the passes go on until each job has a plan
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dueby_api.schema import Raw
from dueby_api.units import format_time
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.control.decide import Decisions, decide
from dueby_operator.control.policies.turn import MAX_PLANNED
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.gathering.gather import read_profile
from dueby_operator.kube.door import Door
from dueby_operator.kube.read_job import read_job, turn_away
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from dueby_operator.settings import OperatorSettings
from dueby_planner.schedule.job import JobKey
from large_cluster import Document
from large_cluster_fill import node_document
from operator_scale_objects import SLOW, inference_job, profile

RESULTS = Path(__file__).parent / "results"
NOW_US, HOUR_S = 1_767_225_600_000_000, 3600
SETTINGS = OperatorSettings(image="dueby/worker:benchmark")
MODELS = ("resnet50", "efficientnet_b1", "mobilenet_v3_large")
OTHER = "other"
# A pass with 10,000 jobs, and how much faster than the number of jobs it may grow.
BAR_S, BAR_GROWTH = 5.0, 1.2
SIZES, NAMESPACES = (1_000, 3_000, 10_000), 20
console = Console(width=120)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What there is in one row."""

    kind: str
    jobs: int
    nodes: int = 100
    profiles: int = 1
    namespaces: int = 1
    """The jobs are theirs in turn."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What it costs."""

    case: Case
    read_s: float
    first_s: float
    """The first pass."""
    later_s: float
    """The slowest of those after it."""
    passes: int
    peak_mib: int
    planned: int
    """Jobs with a plan or a reservation after the last pass."""
    is_other_planned: bool
    """Whether the other tenant's job has one after the first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of jobs, ascending (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--nodes", type=int, default=1_000, help="in the rows with many (%(default)s)")
    parser.add_argument("--profiles", type=int, default=9_000, help="in the rows with many (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS / "many_jobs.json")
    options = parser.parse_args()
    rows = []
    for kind in options.kinds:
        for jobs in [NAMESPACES * MAX_PLANNED] if kind == "namespaces" else options.sizes:
            more = {"alike": {}, "profiles": {"profiles": options.profiles}}.get(kind, {"nodes": options.nodes})
            namespaces = NAMESPACES if kind == "namespaces" else 1
            rows.append(measured(Case(kind=kind, jobs=jobs, namespaces=namespaces, **more)))
            console.print(str(rows[-1]), style="dim")
    options.output.write_text(json.dumps([{**vars(row), "case": vars(row.case)} for row in rows], indent=1))
    is_well = tell(rows)
    console.print(f"Written: {options.output}", style="dim")
    sys.exit(not is_well)


def measured(case: Case) -> Row:
    """Measure in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measure, case).result()


def measure(case: Case) -> Row:
    profiles, nodes = list(profile_documents(case)), made_up_nodes(case.nodes)
    jobs, jobs_s = read_jobs(job_texts(case))
    began_s = time.process_time()
    seen = snapshot(jobs, profiles, nodes)
    read_s = jobs_s + time.process_time() - began_s
    decisions, first_s = one_pass(seen)
    is_other_planned = (OTHER, OTHER) in planned_of(decisions)
    later_s: list[float] = []
    while not later_s or any(decision.memory.left_out > len(later_s) for decision in decisions.jobs):
        seen = after(seen, decisions)
        decisions, took_s = one_pass(seen)
        later_s.append(took_s)
    return Row(
        case=case,
        read_s=round(read_s, 2),
        first_s=round(first_s, 2),
        later_s=round(max(later_s), 2),
        passes=1 + len(later_s),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        planned=len(planned_of(decisions)),
        is_other_planned=is_other_planned,
    )


def planned_of(decisions: Decisions) -> set[JobKey]:
    return {decision.job.key for decision in decisions.jobs if decision.status.plan is not None}


def one_pass(seen: ClusterSnapshot) -> tuple[Decisions, float]:
    """Decide, in processor time: other programs on the machine take none of it."""
    began_s = time.process_time()
    decisions = decide(seen)
    took_s = time.process_time() - began_s
    faults = [*decisions.faults, *(decision.fault for decision in decisions.jobs if decision.fault)]
    if faults:
        raise faults[0].error
    return decisions, took_s


def after(seen: ClusterSnapshot, decisions: Decisions) -> ClusterSnapshot:
    """Return what the next pass sees: the jobs with what was decided about them."""
    decided = {decision.job.uid: decision for decision in decisions.jobs}
    jobs = [replace(job, status=decided[job.uid].status, memory=decided[job.uid].memory) for job in seen.jobs]
    made = {found.name: found for found in (*seen.profiles, *decisions.new_profiles)}
    return replace(seen, jobs=tuple(jobs), profiles=tuple(made.values()))


# ---- what there is


def job_texts(case: Case) -> Iterator[bytes]:
    """Yield the manifests of the one tenant, and then that of the other, as the API server sends them."""
    for number in range(case.jobs):
        yield json.dumps(job_document(case, number)).encode()
    yield json.dumps(renamed(inference_job(0), namespace=OTHER, name=OTHER)).encode()


def read_jobs(texts: Iterable[bytes]) -> tuple[list[JobSnapshot], float]:
    """Return the jobs as a pass reads them, and the seconds that this takes."""
    read = partial(read_job, memories={}, now_us=NOW_US)
    door = Door(frozenset(), partial(turn_away, memories={}, now_us=NOW_US, time_to_live_us=None))
    took_s = 0.0
    for text in texts:
        began_s = time.process_time()
        door.offer(parse(StoredJob, Raw(text)), None)
        took_s += time.process_time() - began_s
    began_s = time.process_time()
    jobs = [job if isinstance(job, JobSnapshot) else read(job) for job in door.let_in()]
    return [*jobs, *door.turned_away()], took_s + time.process_time() - began_s


def job_document(case: Case, number: int) -> Document:
    """Return a tiny Hard job of the one tenant."""
    job = renamed(inference_job(0), namespace=f"tenant-{number % case.namespaces}", name=f"job-{number:05d}")
    spec = job["spec"] | {
        "sink": {"uri": f"s3://rows/{number}"},
        "images": 100_000,
        "deadline": f"{HOUR_S + number}s",
        "deadlineClass": "Hard",
    }
    return {**job, "spec": spec | KINDS[case.kind](number, case)}


def own_size(number: int, case: Case) -> Document:
    """Of each tenth job, an image size that nobody has measured."""
    size = 224 - 1 - number // 10 % 100 if number % 10 == 0 else 224
    return {"model": {"name": "efficientnet_b0", "weights": "none", "imageSize": size, "precision": "fp32"}}


def own_toleration(number: int, case: Case) -> Document:
    return {"worker": {"tolerations": [{"key": f"team-{number}", "operator": "Exists"}]}}


def own_host(number: int, case: Case) -> Document:
    return {"worker": {"nodeSelector": {"kubernetes.io/hostname": f"gpu-{number % case.nodes:04d}"}}}


def large_manifest(number: int, case: Case) -> Document:
    volumes = [{"name": f"volume-{each}", "configMap": {"name": "n" * 200}} for each in range(60)]
    return {"worker": {"volumes": volumes, "annotations": {f"note-{each}": "n" * 900 for each in range(48)}}}


KINDS: Mapping[str, Callable[[int, Case], Document]] = {
    "alike": lambda number, case: {},
    "profiles": own_size,
    "tolerations": own_toleration,
    "hostnames": own_host,
    "large": large_manifest,
    "namespaces": lambda number, case: {},
}


def renamed(document: Document, *, namespace: str, name: str) -> Document:
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-of-{name}", "resourceVersion": "1", "generation": 1}
    return {**document, "metadata": {**metadata, "creationTimestamp": format_time(NOW_US)}}


def profile_documents(case: Case) -> Iterator[Document]:
    """Yield the profile of the GPUs that there are, and of many models that no job has."""
    found = profile(SLOW)
    for number in range(case.profiles - 1):
        model = {"name": f"{MODELS[number % len(MODELS)]}", "imageSize": 64 + number // len(MODELS)}
        spec = {**found["spec"], "model": {**found["spec"]["model"], **model}}
        yield {**found, "metadata": {"name": f"profile-{number}"}, "spec": spec}
    yield found


def made_up_nodes(count: int) -> dict[str, Node]:
    documents = [node_document(number, SLOW, 4) for number in range(count)]
    return {node.name: node for node in (read_node(parse(NodeObject, found)) for found in documents)}


def snapshot(jobs: Iterable[JobSnapshot], profiles: Iterable[Document], nodes: dict[str, Node]) -> ClusterSnapshot:
    return ClusterSnapshot(
        now_us=NOW_US,
        jobs=tuple(jobs),
        devices=ClusterDevices(settings=SETTINGS, now_us=NOW_US, nodes=nodes),
        profiles=tuple(read_profile(Raw(json.dumps(profile).encode())) for profile in profiles),
        nodes=nodes,
        worker_image=SETTINGS.image,
        keeps_profiles=True,
    )


# ---- what comes of it


def tell(rows: Sequence[Row]) -> bool:
    table = Table(title="A pass, in seconds of a core", title_justify="left")
    headings = ("jobs", "nodes", "profiles", "read", "first", "later", "passes", "peak, MiB", "planned", "other's")
    for heading in ("", *headings):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        case = row.case
        times = (row.read_s, row.first_s, row.later_s, row.passes)
        cells = (case.jobs, case.nodes, case.profiles, *times, row.peak_mib, row.planned)
        table.add_row(case.kind, *(f"{cell:,}" for cell in cells), "planned" if row.is_other_planned else "WAITS")
    console.print(table)
    slowest = max(max(row.first_s, row.later_s) for row in rows)
    growth = max(growth_of([row for row in rows if row.case.kind == kind]) for kind in KINDS)
    console.print(f"the slowest pass takes {slowest:.1f} s, {BAR_S:.0f} s allowed")
    console.print(f"n times the jobs take a pass {growth:.1f} n times as long at most, {BAR_GROWTH:.1f} n allowed")
    return slowest <= BAR_S and growth <= BAR_GROWTH and all(row.is_other_planned for row in rows)


def growth_of(rows: Sequence[Row]) -> float:
    """Return how many times faster than the number of jobs a pass grows, from any row of the kind to the next."""
    return max(
        (
            max(after.first_s / before.first_s, after.later_s / before.later_s) * before.case.jobs / after.case.jobs
            for before, after in pairwise(rows)
        ),
        default=0.0,
    )


if __name__ == "__main__":
    main()
