"""One job in one look: what was seen, what is done about it, what its status becomes.

not indexed -> the index Job          no profile -> say so           suspended -> no workers
indexed     -> decide(): start, stop, refuse, or the finish Job
"""

import asyncio
import copy
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from dueby.operator import names
from dueby.operator.conditions import (
    MOST_REPLANS,
    Say,
    alternatives_status,
    feasible_condition,
    is_true,
    merge_conditions,
    message_of,
    moment,
    phase_of,
    plan_status,
    progress_status,
)
from dueby.operator.decide import decide, images_left
from dueby.operator.inventory import CPU_CLASS, device_of
from dueby.operator.job_view import job_view
from dueby.operator.kube import Conflict, Kube
from dueby.operator.manifests import DeviceKind, Fixed, Setting, finish_objects, index_objects, worker_objects
from dueby.operator.sight import (
    Crew,
    Seen,
    ending_of,
    is_complete,
    is_failed,
    micros_of,
)
from dueby.operator.view import GONE, Assignment, Decision, Finish, JobView, Refuse, Start, Stop
from dueby.operator.world import Document, Memories, World
from dueby.planner.errors import Invalid
from dueby.planner.job import InferenceJob, parse_job
from dueby.planner.pool import matching
from dueby.planner.units import format_count

log = logging.getLogger(__name__)


class Case:
    """One job in one look: what was seen, what is done about it, what its status becomes."""

    def __init__(
        self, document: Document, seen: Seen, world: World, *, kube: Kube, setting: Setting, memory: Memories
    ) -> None:
        self.document = document
        self.seen = seen
        self.world = world
        self.kube = kube
        self.setting = setting
        self.memory = memory
        self.status: Document = copy.deepcopy(document.get("status", {}))
        self.said: list[Say] = []

    @property
    def namespace(self) -> str:
        """The job's."""
        return str(self.document["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """The job's."""
        return str(self.document["metadata"]["name"])

    def say(self, said: Say) -> None:
        """Put it among the conditions."""
        self.said.append(said)

    def refuse(self, error: Invalid) -> None:
        """Say what is wrong: with the profiles, which can be mended while the job waits, or with the job."""
        if error.field in ("profiles", "pool"):
            self.say(Say(type="Profiled", status="False", reason="ProfilesUnusable", message=str(error)))
        else:
            self.say(Say(type="Failed", status="True", reason="InvalidJob", message=str(error)))

    async def advance(self) -> None:
        """The next step of the job."""
        job = parse_job(self.document)
        created_us = micros_of(self.document["metadata"]["creationTimestamp"]) or self.world.now_us
        deadline_us = job.spec.deadline_us(accepted_us=created_us)
        self.status |= {"acceptedTime": moment(created_us), "deadlineTime": moment(deadline_us)}
        if is_true(self.status, "Indexed") or await self._index(job):
            await self._work(job, deadline_us)

    # ---- the steps there are once

    async def _index(self, job: InferenceJob) -> bool:
        """Whether the source is indexed now."""
        step = self.seen.steps.get("index")
        if step is None:
            await self._create(index_objects(job, self.document, self.setting))
            self.say(Say(type="Indexed", status="False", reason="Indexing", message="The source is being listed."))
            return False
        ending = ending_of(self.seen.pods, step["metadata"]["name"])
        words = ending.words
        if is_failed(step) or ending.is_final:
            told = ending.sentence or "the index step failed; see the log of its pod"
            self.say(Say(type="Indexed", status="False", reason="SourceUnreadable", message=told))
            self.say(Say(type="Failed", status="True", reason="IndexFailed", message=told))
        elif is_complete(step) and words.get("images"):
            self.status |= {"images": words["images"], "fingerprint": words["fingerprint"]}
            if words.get("inputCost"):
                self.status["inputCost"] = words["inputCost"]
            told = f"{words['images']:,} images."
            self.say(Say(type="Indexed", status="True", reason="Indexed", message=told))
            return True
        return False

    async def _finish(self, job: InferenceJob) -> None:
        step = self.seen.steps.get("finish")
        if step is None:
            await self._create(finish_objects(job, self.document, self.setting))
            return
        ending = ending_of(self.seen.pods, step["metadata"]["name"])
        words = ending.words
        if is_failed(step) or ending.is_final:
            told = ending.sentence or "the finish step failed; see the log of its pod"
            self.say(Say(type="Failed", status="True", reason="FinishFailed", message=told))
        elif is_complete(step) and "rows" in words:
            rows, errors = int(words["rows"]), int(words["errors"])
            self.status["progress"] = {
                **self.status.get("progress", {}),
                "images": f"{format_count(rows)}/{format_count(rows)}",
                "imagesDone": rows,
                "imagesFailed": errors,
                "imagesPerSecond": 0,
            }
            self._close(job, rows=rows, errors=errors, ended_us=micros_of(step["status"]["completionTime"]) or 0)

    def _close(self, job: InferenceJob, *, rows: int, errors: int, ended_us: int) -> None:
        deadline_us = micros_of(self.status["deadlineTime"]) or 0
        met = ended_us <= deadline_us
        told = f"{rows:,} rows, {errors:,} of them with an error, in {job.spec.sink.uri}."
        self.say(
            Say(
                type="DeadlineMet",
                status="True" if met else "False",
                reason="InTime" if met else "Late",
                message=f"Ended at {moment(ended_us)}; the deadline was {moment(deadline_us)}.",
            )
        )
        if errors > job.spec.allowed_failures(rows):
            self.say(Say(type="Failed", status="True", reason="TooManyFailedImages", message=told))
        else:
            self.say(Say(type="Complete", status="True", reason="EveryImageHasARow", message=told))

    # ---- the work

    async def _work(self, job: InferenceJob, deadline_us: int) -> None:
        profiles = matching(self.world.profiles, job.spec.model)
        if not profiles:
            told = (
                f"No GPUProfile for {job.spec.model.name} at {job.spec.model.image_size} px, "
                f"{job.spec.model.precision}; measure one with `dueby profile` and apply it."
            )
            self.say(Say(type="Profiled", status="False", reason="NoProfile", message=told))
            return
        self.say(Say(type="Profiled", status="True", reason="Profiled"))
        view = job_view(
            job, self.seen, self.world, self.setting, self.memory, status=self.status, deadline_us=deadline_us
        )
        if job.spec.suspend:
            await self._stop_all()
            self.say(Say(type="Admitted", status="False", reason="Suspended", message="spec.suspend is true."))
            return
        self.say(Say(type="Admitted", status="True", reason="Admitted"))
        if not any(view.counts.values()) and not view.workers:
            told = f"No device of the classes {', '.join(sorted(view.counts))} is free; the job waits for one."
            self.say(Say(type="Feasible", status="Unknown", reason="Waiting", message=told))
            return
        for crew in self.seen.crews:
            ending = ending_of(self.seen.pods, crew.name)
            if ending.is_final:  # what one worker refuses, all would
                await self._stop_all()
                self.say(Say(type="Failed", status="True", reason="InvalidJob", message=ending.sentence))
                return
        decision = await asyncio.to_thread(decide, view)
        self.memory.lag = decision.memory
        self.memory.generation = self.document["metadata"]["generation"]
        self.memory.lost = frozenset(w.assignment.worker for w in view.workers if w.state == "lost")
        self._tell_progress(view, decision)
        for action in decision.actions:
            match action:
                case Start():
                    await self._start(job, view, action)
                case Stop():
                    await self._stop(view, action)
                case Refuse():
                    self._refuse(action, view)
                case Finish():
                    await self._end(job, action)

    def _tell_progress(self, view: JobView, decision: Decision) -> None:
        if not view.part_size:
            return
        progress = self.seen.progress.values()
        self.status["progress"] = progress_status(
            view,
            decision,
            done=view.images - images_left(view),
            failed=sum(int(p.get("imagesFailed") or 0) for p in progress),
            images_per_second=sum(float(p.get("imagesPerSecond") or 0) for p in progress),
        )
        late = decision.is_short or view.now_us > view.deadline_us
        reason = "Late" if late else "InTime"
        self.say(Say(type="OnTrack", status="False" if late else "True", reason=reason))

    async def _start(self, job: InferenceJob, view: JobView, start: Start) -> None:
        plan = start.verdict.plan if start.verdict else None
        if start.verdict:
            said = feasible_condition(start.verdict)
            self.say(said)
            if start.verdict.infeasible:
                self.status["alternatives"] = alternatives_status(start.verdict.infeasible, now_us=view.now_us)
            else:
                self.status.pop("alternatives", None)
        # A number that no ConfigMap of this job ever had, not even of workers that are gone.
        revision = max(view.revision, int(self.status.get("plan", {}).get("revision", 0))) + 1
        if plan:
            self.status["plan"] = plan_status(plan, now_us=view.now_us, revision=revision)
        self.status["plan"] |= {"revision": revision, "partSize": start.part_size}
        if view.workers or not plan:
            self._replanned(view, start.reason, len(start.assignments))
        # The grid and the revision must be known to whoever comes after, before any worker is there.
        await self.write()
        before = [w.assignment.share for w in view.workers]
        shares = [(s.first, s.end) for s in [*before, *(a.share for a in start.assignments)]]
        by_class: dict[str, list[tuple[int, Assignment]]] = defaultdict(list)
        for rank, assignment in enumerate(start.assignments, len(before)):
            revised = replace(assignment, revision=revision)
            by_class[assignment.device_class].append((rank, revised))
        for device_class, ranked in by_class.items():
            objects = worker_objects(
                job,
                self.document,
                self.setting,
                fixed=Fixed(
                    images=view.images, part_size=start.part_size, fingerprint=self.status.get("fingerprint", "")
                ),
                assignments=[assignment for _, assignment in ranked],
                shares=shares,
                ranks=[rank for rank, _ in ranked],
                device=self._device(device_class),
            )
            await self._create(objects)
            self.world.unscheduled[device_class] += len(ranked)

    def _device(self, device_class: str) -> DeviceKind:
        if CPU_CLASS.match(device_class):
            return DeviceKind(resource=None, label=None)
        for node in self.world.nodes.values():
            resource = device_of(node).get(device_class)
            label = next((name for name, value in node.labels.items() if value == device_class), None)
            if resource:
                return DeviceKind(resource=resource, label=label)
        raise Invalid("spec.gpus.classes", f"no node has devices of the class {device_class}")

    async def _stop(self, view: JobView, stop: Stop) -> None:
        """Take the workers away: whole Jobs where all of one are meant, otherwise the highest indices of it."""
        for crew in self.seen.crews:
            alive = [
                w.assignment.worker for w in view.workers if w.state not in GONE and w.assignment in crew.assignments
            ]
            meant = [name for name in alive if name in stop.workers]
            if not meant:
                continue
            if stop.reason == "WorkerLost":  # hung: its pod is replaced by the Job
                await self._delete_pods(crew, meant)
                continue
            left = int(crew.job["spec"]["completions"]) - len(meant)
            if left <= 0:
                await self.kube.delete(names.batch_path(self.namespace, crew.name))
            else:
                change = {"spec": {"completions": left, "parallelism": left}}
                await self.kube.merge(names.batch_path(self.namespace, crew.name), change)
        self._replanned(view, stop.reason, -len(stop.workers))

    async def _delete_pods(self, crew: Crew, workers: Sequence[str]) -> None:
        indices = {i for i, assignment in enumerate(crew.assignments) if assignment.worker in workers}
        for pod in self.seen.pods:
            labels = pod["metadata"]["labels"]
            if labels.get(names.JOB_OF_POD) == crew.name and int(labels.get(names.INDEX_OF_POD, -1)) in indices:
                await self.kube.delete(names.core_path("pods", self.namespace, pod["metadata"]["name"]))

    async def _stop_all(self) -> None:
        for crew in self.seen.crews:
            await self.kube.delete(names.batch_path(self.namespace, crew.name))

    def _refuse(self, refuse: Refuse, view: JobView) -> None:
        said = feasible_condition(refuse.verdict)
        if refuse.verdict.action in ("Reserve", "Hold", "Wait"):
            self.say(replace(said, reason="Waiting"))
            return
        self.say(said)
        if refuse.verdict.infeasible:
            self.status["alternatives"] = alternatives_status(refuse.verdict.infeasible, now_us=view.now_us)
        self.say(Say(type="Failed", status="True", reason="Infeasible", message=said.message))

    async def _end(self, job: InferenceJob, finish: Finish) -> None:
        if finish.complete:
            await self._finish(job)
            return
        await self._stop_all()
        told = "The deadline has passed, and spec.onDeadline is Stop; what was done is kept."
        self.say(Say(type="DeadlineMet", status="False", reason="Stopped", message=told))
        self.say(Say(type="Failed", status="True", reason="Stopped", message=told))

    def _replanned(self, view: JobView, reason: str, change: int) -> None:
        before = sum(worker.state not in GONE for worker in view.workers)
        entry = {"time": moment(view.now_us), "reason": reason, "from": before, "to": before + change}
        self.status["replans"] = [*self.status.get("replans", []), entry][-MOST_REPLANS:]

    # ---- writing

    async def _create(self, objects: Sequence[Document]) -> None:
        """Create what isn't there: a dry run of the Job first, so that what is wrong with it leaves nothing behind."""
        config_map, job = objects
        try:
            await self.kube.create(names.batch_path(self.namespace), job, dry_run=True)
            await self._create_unless_there(names.core_path("configmaps", self.namespace), config_map)
            await self.kube.create(names.batch_path(self.namespace), job)
        except Conflict:
            log.info("%s: %s is there already", self.name, job["metadata"]["name"])

    async def _create_unless_there(self, path: str, document: Document) -> None:
        try:
            await self.kube.create(path, document)
        except Conflict:
            # An operator before this one was killed between the two: what it decided then stands.
            log.info("%s: %s is there already", self.name, document["metadata"]["name"])

    async def write(self) -> None:
        """Write the status, if it has changed."""
        status = self._finished_status()
        if status == self.document.get("status", {}):
            return
        changed = {**self.document, "status": status}
        written = await self.kube.replace(names.jobs_path(self.namespace, self.name, "status"), changed)
        self.document["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"]
        self.document["status"] = status
        self.status = copy.deepcopy(status)

    def _finished_status(self) -> Document:
        generation = self.document["metadata"]["generation"]
        now = moment(self.world.now_us)
        status = {**self.status, "observedGeneration": generation}
        status["conditions"] = merge_conditions(
            self.status.get("conditions", []), self.said, generation=generation, now=now
        )
        status["phase"] = phase_of(
            status,
            suspended=bool(self.document["spec"].get("suspend")),
            started=bool(self.seen.crews) or "plan" in status,
            running=any(worker.state == "running" for worker in self.seen.workers),
            is_finishing="finish" in self.seen.steps,
        )
        status["message"] = message_of(status)
        return status
