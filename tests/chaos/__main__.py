"""An hour in which everything breaks: does every image still get exactly one row, and does the operator still work?

Makes a kind cluster of its own, with DueBy and an S3 server. Healthy jobs run side by side all the time. Meanwhile, at
times that are drawn by the seed, workers, nodes, the operator, the API server and the S3 server are killed and paused,
clocks jump, a disk fills up, jobs are edited and deleted, and a tenant applies hostile objects.

    python tests/chaos --seed 1             # 75 minutes; needs Docker, kind, kubectl, helm and root
    python tests/chaos --seed 1 --dry-run   # what it would do, and when

Ctrl-C ends it early: the jobs that are under way are waited for, and the table is of what there was. A second
Ctrl-C ends it at once. The deadline of a healthy job is its room times (90 s and its images at 200 a second); the room
is between 4 and 8. Without root there is no small disk to fill; without Debian's archive there is no libfaketime.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# The cluster is made by what makes it for the tests, with a name and images of its own.
sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("DUEBY_TEST_CLUSTER", "dueby-chaos")

from chaos.cluster import HOSTILE, World, bring_clocks, furnish, versions
from chaos.faults import Faults
from chaos.hostile import HostileCases
from chaos.hostile_cases import CASES
from chaos.hostile_objects import bring_program
from chaos.jobs import HealthyJobs
from chaos.log import Log
from chaos.operator_log import kept_log
from chaos.rows import DISK
from chaos.schedule import MAX_IMAGES, NAMESPACES, Schedule, make_schedule
from chaos.server_faults import Setting, repair
from chaos.table import Outcome, bars, counts, expected_late, tell
from chaos.watch import Watch
from support.kind.cluster import OPERATOR_NAMESPACE, has_docker
from support.kind.kind_cluster import make_cluster, remove_cluster
from support.lanes import WORKER_NODES
from support.shared_run import RUN
from support.small_disk import may_mount, small_disk

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"
DISK_MB = 16
# At once: faults that last, and hostile objects that are waited for.
THREADS = 32
# So long faults have to undo themselves, once no more is begun.
REPAIR_AFTER_S = 60.0
console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long things break")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--fault-every", type=float, default=25.0, metavar="SECONDS", help="on average")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result goes")
    parser.add_argument("--dry-run", action="store_true", help="print the schedule, and do nothing")
    options = parser.parse_args()
    schedule = make_schedule(
        seed=options.seed, minutes=options.minutes, fault_every_s=options.fault_every, cases=tuple(CASES)
    )
    try:
        if options.dry_run:
            show(schedule)
            return
        if not has_docker():
            sys.exit("This needs Docker, kind, kubectl and helm.")
        sys.exit(not run(schedule, output=options.output))
    finally:
        shutil.rmtree(RUN, ignore_errors=True)


def show(schedule: Schedule) -> None:
    """Print the schedule."""
    lines = [
        *((fault.at_s, f"fault    {fault.kind}, {fault.seconds:.0f} s") for fault in schedule.faults),
        *((case.at_s, f"hostile  {case.case}") for case in schedule.cases),
    ]
    for at_s, what in sorted(lines):
        console.print(f"{int(at_s) // 60:3d}:{int(at_s) % 60:02d}  {what}", highlight=False)
    console.print("Jobs, each after the one before it in its namespace:")
    for job in schedule.jobs:
        room = f"{job.deadline_s} s (room {job.room}), {job.deadline_class}, confidence {job.confidence}"
        console.print(f"  {job.name:<18} {job.images:>6,} images within {room}", highlight=False)


def run(schedule: Schedule, *, output: Path) -> bool:
    """Make the cluster, carry the schedule out, write the result, remove the cluster; whether every bar is met."""
    over, aborted = threading.Event(), threading.Event()
    with ExitStack() as undo:
        undo.enter_context(interruptible(over, aborted))
        shared = RUN / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        has_disk = may_mount()
        # Before the nodes are made, which see what is mounted here by then.
        if has_disk:
            undo.enter_context(small_disk(shared / DISK, megabytes=DISK_MB)).chmod(0o777)
        undo.callback(remove_cluster)
        console.print("Building images and making the cluster, which takes some minutes ...", style="dim")
        cluster = make_cluster(RUN)
        furnish(cluster, photos=MAX_IMAGES)
        bring_program(shared)
        no_clocks = bring_clocks(shared)
        if no_clocks:
            console.print(f"No clock is skewed: {no_clocks}", style="bold red")
        world = World(
            cluster=cluster,
            namespaces={name: cluster.within(name) for name in NAMESPACES},
            nodes=WORKER_NODES,
            has_disk=has_disk,
            has_clocks=not no_clocks,
            over=over,
            aborted=aborted,
        )
        ran = {"dueby": version("dueby"), **versions(cluster)}
        with kept_log(RUN / "operator.log") as kept:
            outcome, log = play(world, schedule)
        is_good = tell(console, outcome)
        document = {"schedule": schedule.document(), "versions": ran, **result_document(world, outcome, log)}
        output.write_text(json.dumps(spelled(document), indent=1))
        if not is_good:
            shutil.copyfile(kept, output.with_suffix(".operator.log"))
        console.print(f"Written: {output}{'' if is_good else ', and beside it the log of the operator'}", style="dim")
        return is_good


@contextmanager
def interruptible(over: threading.Event, aborted: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into an early end, and a second one, or SIGTERM, into the end."""

    def first(*_: object) -> None:
        over.set()
        console.print("No more is begun; waiting for the jobs under way. Ctrl-C again ends it at once.", style="bold")
        signal.signal(signal.SIGINT, second)

    def second(*_: object) -> None:
        end()
        raise KeyboardInterrupt

    def told(*_: object) -> None:
        end()
        sys.exit(143)

    def end() -> None:
        over.set()
        aborted.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # what was made is removed, whoever is impatient

    before = signal.signal(signal.SIGINT, first), signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        over.set()
        aborted.set()
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def play(world: World, schedule: Schedule) -> tuple[Outcome, Log]:
    """Carry the schedule out, and wait for what is under way."""
    log, ended = Log(console), threading.Event()
    watch, jobs = Watch(log), HealthyJobs(world, log)
    faults = Faults(Setting(world=world, jobs=jobs, watch=watch), log)
    hostile = HostileCases(world, world.cluster.within(HOSTILE), log, CASES)
    hostile.prepare()
    looking = threading.Thread(target=watch.run, args=[ended])
    looking.start()
    try:
        # Healthy jobs have threads of their own, so that none waits for a fault's.
        with ThreadPoolExecutor(len(NAMESPACES)) as healthy, ThreadPoolExecutor(THREADS) as others:
            try:
                running = [
                    healthy.submit(jobs.run, [job for job in schedule.jobs if job.namespace == name])
                    for name in NAMESPACES
                ]
                begun = begin(world, schedule, log, others, faults=faults, hostile=hostile)
                log.say("end", "no more is begun; waiting for what is under way")
                world.over.set()
                wait(world, jobs, [*running, *begun])
                for each in [*running, *begun]:
                    each.result()
            except BaseException:
                world.over.set()
                world.aborted.set()
                raise
    finally:
        ended.set()
        looking.join()
    outcome = Outcome(jobs=jobs.results, endings=hostile.endings, faults=faults.made, operator=watch.result())
    return outcome, log


def begin(
    world: World, schedule: Schedule, log: Log, pool: ThreadPoolExecutor, *, faults: Faults, hostile: HostileCases
) -> list[Future[None]]:
    """Begin each fault and each hostile case at its time, until there is none left or no more is to begin."""
    due: list[tuple[float, Callable[[], None]]] = [
        *((fault.at_s, lambda fault=fault: faults.make(fault)) for fault in schedule.faults),
        *((case.at_s, lambda case=case: hostile.run(case.case)) for case in schedule.cases),
    ]
    due.append((schedule.minutes * 60, lambda: None))
    begun: list[Future[None]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("chaos", total=schedule.minutes * 60)
        for at_s, do in sorted(due, key=lambda each: each[0]):
            while (left_s := at_s - log.now_s()) > 0 and not world.over.wait(min(left_s, 1.0)):
                progress.update(task, completed=log.now_s())
            if world.over.is_set():
                break
            begun.append(pool.submit(do))
    return begun


def wait(world: World, jobs: HealthyJobs, under_way: Sequence[Future[None]]) -> None:
    """Wait until they are done. What faults should have undone by themselves is undone once more."""
    began_s, is_repaired = time.monotonic(), False
    with console.status("") as status:
        while left := sum(not each.done() for each in under_way):
            names = ", ".join(each.planned.name for each in jobs.running())
            status.update(f"waiting for {left}, of which healthy jobs: {names or 'none'}")
            if not is_repaired and time.monotonic() - began_s > REPAIR_AFTER_S:
                repair(world)
                is_repaired = True
            time.sleep(1.0)


def result_document(world: World, outcome: Outcome, log: Log) -> dict[str, Any]:
    """Everything that there is to say of the run, as JSON."""
    restarts = {}
    with suppress(AssertionError, OSError):  # it is of no weight
        pods = world.cluster.items("pods", "app.kubernetes.io/name=dueby", namespace=OPERATOR_NAMESPACE)
        restarts = {pod["metadata"]["name"]: pod["status"].get("containerStatuses", []) for pod in pods}
    return {
        "has_disk": world.has_disk,
        "has_clocks": world.has_clocks,
        "expected_late": round(expected_late(outcome.promised), 2),
        "bars": [{**vars(bar), "is_met": bar.is_met} for bar in bars(outcome)],
        "counts": dict(counts(outcome)),
        "operator": outcome.operator.document(),
        "operator_containers": restarts,
        "jobs": [job.document() for job in outcome.jobs],
        "hostile": [ending.document() for ending in outcome.endings],
        "faults": [vars(fault) for fault in outcome.faults],
        "log": log.lines(),
    }


def spelled(value: Any) -> Any:
    """The value with its fields spelled as the other results spell theirs."""
    if isinstance(value, Mapping):
        return {re.sub("_([a-z])", lambda found: found[1].upper(), key): spelled(each) for key, each in value.items()}
    return [spelled(each) for each in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
