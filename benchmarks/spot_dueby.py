"""DueBy on a trace of spot devices: the operator's own decide(snapshot), on a simulated cluster with one job.

There is one device on demand, and one spot device while the trace has some. The job may use both at once; it is Hard,
with `gpus.spot: Prefer`. A worker works as the profile says, without noise, and what it has done is kept when its
device is taken away.

The operator makes a pass at each change of the trace, when a window begins, and every five minutes. After one that has
changed something or has read that workers lag it makes another one five seconds later, as it would.
"""

from typing import Any

from dueby_api.gpu_profile import Quantiles
from dueby_api.units import MICROS_PER_SECOND, parse_time_us
from dueby_operator.cluster.spot import SPOT_LABELS
from dueby_planner.model.problem import NEVER_US, find_least
from spot_policies import PASS_S, Kind, Outcome, Task
from spot_traces import Trace
from support.decisions import NOW
from support.operator import SIZE, STEP_US, WARMUP_US, profile
from support.shared_cluster import SharedCluster
from support.shared_cluster_jobs import Running

JOB, SPOT_NODE, STAYING_NODE = "job", "spot", "staying"
AGAIN_US = 5 * MICROS_PER_SECOND
LABELS = dict([next(iter(SPOT_LABELS.items()))])


class SpotCluster(SharedCluster):
    """A node that stays and one that comes and goes, of one device each, and one job."""

    def __init__(self, task: Task, deadline_class: str) -> None:
        super().__init__({STAYING_NODE: 1})
        measured = profile()
        start_us = round(task.changeover_s * MICROS_PER_SECOND) - WARMUP_US + STEP_US
        startup = Quantiles(p50=start_us, p95=start_us)
        self.profiles = (measured.replace(spec=measured.spec.replace(startup_micros=startup)),)
        self.used_us: dict[Kind, int] = {"spot": 0, "on demand": 0}
        self._acted = False
        images = round(task.work_s * MICROS_PER_SECOND / STEP_US) * SIZE
        gpus: dict[str, Any] = {"spot": "Prefer"}
        self.add(JOB, images=images, deadline_s=round(task.time_s), deadline_class=deadline_class, gpus=gpus)

    @property
    def job(self) -> Running:
        """The job."""
        return self.jobs[JOB]

    @property
    def is_restless(self) -> bool:
        """Whether the last pass has left something to decide soon: a start, a stop, or one low reading."""
        memory = self.job.snapshot.memory
        return memory.lag.low_readings == 1 or self._acted

    @property
    def begins_us(self) -> int:
        """The time until the next window that is reserved for the job."""
        plan = self.job.snapshot.status.plan
        begins = [parse_time_us(window.from_time) - self.now_us for window in plan.windows] if plan else []
        return min((time_us for time_us in begins if time_us > 0), default=NEVER_US)

    def set_spot(self, *, is_there: bool) -> None:
        """Let the spot node come or go, with the worker on it."""
        if is_there and SPOT_NODE not in self.nodes:
            self.join(SPOT_NODE, 1, LABELS)
        if not is_there and SPOT_NODE in self.nodes:
            del self.nodes[SPOT_NODE]
            for worker in self.job.alive:
                worker.is_lost = worker.is_lost or worker.node == SPOT_NODE

    def look(self) -> None:
        """Make one pass."""
        before = [(worker.assignment.worker, worker.is_gone) for worker in self.job.workers]
        self.decide()
        if self.faults:
            raise self.faults[0].error
        self._acted = before != [(worker.assignment.worker, worker.is_gone) for worker in self.job.workers]

    def work(self, time_us: int) -> None:
        """Let the time pass, until every image is done at the latest."""
        left = self.job.images - self.job.done

        def is_done(after_us: int) -> bool:
            end_us = self.now_us + after_us
            return sum(worker.images_in(self.now_us, end_us) for worker in self.job.alive) >= left

        if is_done(time_us):
            time_us = find_least(is_done, 0, time_us)
            self.job.done = self.job.images
        for worker in self.job.alive:
            self.used_us["spot" if worker.node == SPOT_NODE else "on demand"] += time_us
        self._pass_time(time_us)


def run_dueby(trace: Trace, task: Task, *, deadline_class: str = "Hard") -> Outcome | None:
    """Return what comes of the job; None if it is refused."""
    cluster = SpotCluster(task, deadline_class)
    begins_us = round(task.begins_s * MICROS_PER_SECOND)
    while True:
        elapsed_us = cluster.now_us - NOW
        at_s = (begins_us + elapsed_us) / MICROS_PER_SECOND
        cluster.set_spot(is_there=trace.is_there(at_s))
        cluster.look()
        if cluster.job.is_over:
            break
        change_s = min(trace.next_change_s(at_s), at_s + PASS_S)
        pause_us = min(round(change_s * MICROS_PER_SECOND) - begins_us - elapsed_us, cluster.begins_us)
        cluster.work(min(pause_us, AGAIN_US) if cluster.is_restless else pause_us)
    if not cluster.job.is_done:
        return None
    return Outcome(
        is_in_time=cluster.now_us - NOW <= task.time_s * MICROS_PER_SECOND,
        on_demand_s=cluster.used_us["on demand"] / MICROS_PER_SECOND,
        spot_s=cluster.used_us["spot"] / MICROS_PER_SECOND,
        restarts=len(cluster.job.workers) - 1,
    )
