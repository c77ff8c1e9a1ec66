"""One world from its seed: jobs that come, users who change their minds, faults for some minutes, and then quiet.

Once the faults are over every job must end, and once every job has ended nothing more is written.
"""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dueby_worker.output.sink_manifest import SINK_MANIFEST
from support.world.checks import Checks
from support.world.cluster import Cluster, phase_of
from support.world.excuses import OVER
from support.world.network import Request
from support.world.nights import Nights
from support.world.objects import Document, Stored, place_of
from support.world.pools import Pool
from support.world.scheduler import World
from support.world.weather import NODE_S, Weather

# Faults end, and all jobs must be over so long after the beginning.
FAULTS_S, LIMIT_S = 150.0, 4000.0
# Nothing may be written in the second part of this time at the end.
QUIET_S = 90.0
# What a user does to a job that is over is seen so much later at most.
SEEN_S = 70.0
CLASSES = ("Hard", "Hard", "Soft", "Relaxed", "BestEffort")
IF_EXISTS = ("Resume", "Resume", "Overwrite", "Overwrite", "Fail")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a world went."""

    seed: int
    broken: list[str]
    story: list[str]
    digest: str
    seconds: float
    """Virtual ones."""
    cpu_s: float
    faults: int
    succeeded: int
    failed: int
    promised: int
    """Jobs that were promised their deadline."""
    reasons: Mapping[str, int]
    """Why jobs have failed, and how many."""


@dataclass(eq=False)
class Scenario:
    """The jobs of a world, and what their users do."""

    cluster: Cluster
    checks: Checks
    jobs: dict[str, Document] = field(default_factory=dict)
    """Their specs, by name, as they were applied last."""
    to_come: int = 0
    """What users are yet to do."""

    _acted_s: float = 0.0
    """When a user has done something last."""
    is_over: bool = False
    """Whether every job has ended."""

    def begin(self) -> None:
        """Draw what happens."""
        self.cluster.server.listeners.append(self._changed)
        chance = self.cluster.world.chance
        for number in range(chance.choice((1, 1, 2, 2, 3))):
            name = "abc"[number]
            source = f"s3://photos/{chance.choice(sorted({name, *self.jobs}))}"
            sink = f"s3://out/{chance.choice(sorted({name, *self.jobs}))}"
            if not self.cluster.bucket.below(f"{source}/"):
                self.cluster.put_photos(source, chance.choice((6, 12, 20, 30, 45)))
            self.jobs[name] = self.spec(source, sink)
            self.later(chance.uniform(0, 40), name, self.submit)
            self.change_minds(name)
        plot = chance.random()
        if plot < 0.2:
            self.later(0.5, chance.choice(sorted(self.jobs)), self._take_over)
        elif plot < 0.4:
            name = chance.choice(sorted(self.jobs))
            self.jobs[name]["sink"]["ifExists"] = "Overwrite"
            self.later(5, name, self._restore)
        elif plot < 0.6:
            self._crowd()
        elif plot < 0.7:
            self._take_name(chance.choice(sorted(self.jobs)))
        elif plot < 0.9:
            Nights(self).begin()
        else:
            Pool(self).begin()

    def change_minds(self, name: str) -> None:
        """Have users change their minds about a job."""
        for do in (self._edit, self._suspend, self._delete, self._lose_status):
            if self.cluster.world.chance.random() < 0.12:
                self.later(self.cluster.world.chance.uniform(5, FAULTS_S), name, do)

    def spec(self, source: str, sink: str) -> Document:
        """Draw a job over this source."""
        chance = self.cluster.world.chance
        spec: Document = {
            "deadline": f"{chance.choice((25, 60, 90, 150, 300))}s",
            "deadlineClass": chance.choice(CLASSES),
            "source": {"uri": f"{source}/*.jpg"},
            "sink": {"uri": sink, "ifExists": chance.choice(IF_EXISTS)},
        }
        if chance.random() < 0.2:
            spec["gpus"] = {"max": chance.choice((1, 2))}
        if chance.random() < 0.2:
            spec["onDeadline"] = "Stop"
        return spec

    def later(self, seconds: float, name: str, do: Any) -> None:
        """Have a user do something to this job."""
        self.to_come += 1

        def happen() -> None:
            self.to_come -= 1
            self._acted_s = self.cluster.world.seconds
            do(name)
            self.cluster.world.at(SEEN_S + 0.1, self._look)

        self.cluster.world.at(seconds, happen)

    def submit(self, name: str) -> None:
        """Apply the job, unless it is there."""
        if self.cluster.job(name) is None:
            self.cluster.submit(name, self.jobs[name])

    def _change(self, name: str, what: str, **fields: Any) -> None:
        job = self._touched(name, what)
        if job is not None:
            spec = {**job.document["spec"], **fields}
            self.cluster.server.change(job.place.key, {**job.document, "spec": spec})

    def _touched(self, name: str, what: str) -> Stored | None:
        """Return the job; from now on nothing is promised to it, since its user has changed it."""
        job = self.cluster.job(name)
        if job is not None:
            self.checks.touched.add(job.metadata["uid"])
            self.cluster.world.tell(f"user: {what} {name}")
        return job

    def _edit(self, name: str) -> None:
        deadline = self.cluster.world.chance.choice((40, 120, 400))
        self._change(name, f"gives {deadline} s to", deadline=f"{deadline}s")

    def _suspend(self, name: str) -> None:
        self._change(name, "suspends", suspend=True)
        self.later(self.cluster.world.chance.uniform(3, 60), name, self._go_on)

    def _go_on(self, name: str) -> None:
        self._change(name, "goes on with", suspend=False)

    def _delete(self, name: str) -> None:
        job = self._touched(name, "deletes")
        if job is not None:
            self.cluster.server.delete(job.place.key, {})
            self.later(self.cluster.world.chance.uniform(0.1, 20), name, self.submit)

    def _lose_status(self, name: str) -> None:
        job = self._touched(name, "restores without its status")
        if job is not None:
            self.cluster.server.set_status(job.place.key, {})
            if self.cluster.world.chance.random() < 0.5:
                for owned in list(self.cluster.server.owned_by(job.metadata["uid"])):
                    self.cluster.server.delete(owned.place.key, {})

    def _crowd(self) -> None:
        """Have jobs come at once that can't all have what they want."""
        chance = self.cluster.world.chance
        for name in "defg":
            source = f"s3://photos/{name}"
            self.cluster.put_photos(source, chance.choice((12, 30, 45)))
            spec = self.spec(source, f"s3://out/{name}")
            self.jobs[name] = {**spec, "deadlineClass": "Hard", "deadline": f"{chance.choice((25, 40, 60))}s"}
            self.later(chance.uniform(0, 15), name, self.submit)

    def _take_name(self, name: str) -> None:
        """Have somebody make a ConfigMap of a name that the operator is about to give to one of the job's."""
        server, world = self.cluster.server, self.cluster.world
        step = world.chance.choice(("index", "r1", "finish"))
        seconds = world.chance.uniform(5, 60)

        def heard(request: Request) -> None:
            place, body = place_of(request.path), request.body
            if (request.method, place.kind) != ("POST", "configmaps") or heard not in server.heard:
                return
            if not body["metadata"]["name"].startswith(f"{name}-{step}-"):
                return
            self.checks.touched.add(body["metadata"]["ownerReferences"][0]["uid"])
            made = server.create(place, {**body, "metadata": {**body["metadata"], "ownerReferences": []}})
            world.tell(f"somebody makes {made.place.name} for {seconds:.0f} s")
            world.at(seconds, lambda: server.remove(made.place.key))
            server.heard = [listener for listener in server.heard if listener is not heard]

        server.heard.append(heard)

    def _restore(self, name: str) -> None:
        """Lose the status of a job that is done, as a restore does."""
        job = self.cluster.job(name)
        if job is not None and phase_of(job) in OVER:
            self._lose_status(name)
        elif self.cluster.world.seconds < FAULTS_S:
            self.later(5, name, self._restore)

    def _take_over(self, name: str) -> None:
        """Cut a worker off, delete its job, give its sink to another one: the worker goes on, or wakes much later."""
        chance, world, nodes = self.cluster.world.chance, self.cluster.world, self.cluster.nodes
        containers = [(node, each) for node in nodes.values() for each in node.containers.values()]
        working = [
            (node, each) for node, each in containers if each.is_working and each.pod.place.name.startswith(name)
        ]
        has_begun = f"{self.jobs[name]['sink']['uri']}/{SINK_MANIFEST}" in self.cluster.bucket.objects
        if not (working and has_begun):
            if world.seconds < FAULTS_S:
                self.later(0.5, name, self._take_over)
            return
        node, container = chance.choice(working)
        pause_s = chance.uniform(3, 150) if chance.random() < 0.6 else 0.0
        if chance.random() < 0.8:
            away_s = pause_s + chance.uniform(20, 100)
            world.tell(f"{node.name} is cut off for {away_s:.0f} s")
            self.checks.excuses.note(away_s + NODE_S, node=node.name)
            node.cut_off()
            world.at(away_s, node.come_back)
        if pause_s:
            world.tell(f"{container.process.name} stands still for {pause_s:.0f} s")
            self.checks.excuses.note(pause_s + NODE_S, job=container.process.attributes["job"])
            container.process.paused_until_us = world.now_us + round(pause_s * 1e6)
        self._delete(name)
        source = f"s3://photos/{name}2"
        self.cluster.put_photos(source, chance.choice((6, 20, 45)))
        sink = {**self.jobs[name]["sink"], "ifExists": "Overwrite"}
        self.jobs[name] = {**self.jobs[name], "source": {"uri": f"{source}/*.jpg"}, "sink": sink}

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        if any(each is not None and each.place.kind == "inferencejobs" for each in (before, after)):
            self._look()

    def _look(self) -> None:
        jobs = list(self.cluster.server.all("inferencejobs"))
        is_seen = not self.to_come and self.cluster.world.seconds >= self._acted_s + SEEN_S
        self.is_over = is_seen and len(jobs) == len(self.jobs) and all(phase_of(job) in OVER for job in jobs)


def run_seed(seed: int, *, is_verbose: bool = False, surely: tuple[str, ...] = ()) -> Outcome:
    """Run the world of this seed to its end, with these kinds of faults in any case."""
    outcome = _run(World(seed, is_verbose=is_verbose), surely)
    gc.collect()  # what was killed unwinds now, while its world is over
    return outcome


def _run(world: World, surely: tuple[str, ...]) -> Outcome:
    cpu_s, chance = time.process_time(), world.chance
    cluster = Cluster(world, nodes=chance.choice((1, 2, 3)), devices=chance.choice((1, 2, 2)))
    checks = Checks(cluster)
    is_gentle = chance.random() < 0.4
    weather = Weather(cluster, checks.excuses, is_gentle=is_gentle, ends_s=FAULTS_S, surely=surely)
    scenario = Scenario(cluster, checks)
    checks.begin()
    scenario.begin()
    weather.begin()
    cluster.start_operator()
    if not world.run(until=lambda: bool(checks.broken) or scenario.is_over, limit_s=LIMIT_S):
        states = {job.place.name: phase_of(job) for job in cluster.server.all("inferencejobs")}
        checks.fail(f"not every job has ended after {LIMIT_S:.0f} s: {states}")
    if not checks.broken:
        _be_quiet(world, cluster, checks)
        checks.look_at_end()
    phases = [phase_of(job) for job in cluster.server.all("inferencejobs")]
    world.end()
    return Outcome(
        seed=world.seed,
        broken=checks.broken,
        story=world.story,
        digest=world.digest.hexdigest(),
        seconds=world.seconds,
        cpu_s=time.process_time() - cpu_s,
        faults=weather.happened,
        succeeded=phases.count("Succeeded"),
        failed=phases.count("Failed"),
        promised=len(checks.promised),
        reasons=dict(checks.reasons),
    )


def _be_quiet(world: World, cluster: Cluster, checks: Checks) -> None:
    """See that nothing is written any more once all is over."""
    # What is last in a pass, such as profiles' columns, may be still to come of an operator that stood still in each.
    world.run(until=lambda: bool(checks.broken) or world.seconds >= FAULTS_S, limit_s=FAULTS_S)
    pauses_s = [(operator.paused_until_us - world.now_us) / 1e6 for operator in cluster.operators]
    begins_s = max(FAULTS_S, world.seconds + max(0.0, *pauses_s)) + QUIET_S / 2

    def heard(request: Request) -> None:
        if world.seconds > begins_s and "leases" not in request.path:
            checks.fail(f"all jobs are over, and {request.by.name} still writes: {request}")

    cluster.server.heard.append(heard)
    world.run(until=lambda: bool(checks.broken), limit_s=begins_s + QUIET_S / 2)
