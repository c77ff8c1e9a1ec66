"""One job in one look: what was seen, what is to be done about it, what its status becomes. Pure.

not indexed -> the index Job          no profile -> it is measured          suspended -> no workers
both        -> decide(): start, stop, refuse, or the finish Job
"""

import copy
from dataclasses import replace
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.units import format_count, format_duration
from dueby_operator.control.conditions import (
    MAX_REPLANS,
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
from dueby_operator.control.model import GONE, Decision, Finish, JobView, Refuse, Start, Stop
from dueby_operator.control.step_configs import images_without_index
from dueby_operator.control.workers import decide, images_left
from dueby_operator.control.world import Memories, World
from dueby_operator.control.writes import Create, Write
from dueby_operator.jobs.job_model import SO_FAR_SOFT, job_view
from dueby_operator.jobs.manifests import Setting, finish_objects, index_objects
from dueby_operator.jobs.pod_diagnosis import admission_of, start_trouble_of, trouble_of_step
from dueby_operator.jobs.pod_state import Seen, ending_of, is_complete, is_failed, micros_of
from dueby_operator.jobs.start_workers import start_workers
from dueby_operator.jobs.stop_workers import stop_all, stop_workers
from dueby_operator.kube.client import Refused
from dueby_operator.profiling.observations import note_job
from dueby_operator.profiling.on_demand import look_at_profiles, stop_profiling

FORBIDDEN = 403
# What the API server has forbidden is tried again after so long.
REFUSED_US = 30_000_000
Document = dict[str, Any]


class Case:
    """One job in one look: what was seen, what is to be done about it, what its status becomes."""

    def __init__(self, seen: Seen, world: World, *, setting: Setting, memory: Memories) -> None:
        self.document: Document = dict(seen.document)
        self.seen = seen
        self.world = world
        self.setting = setting
        self.memory = memory
        self.writes: list[Write] = []
        self.is_start = False
        """Whether the plan in the status must be written before anything is done about it."""
        self._status: Document = copy.deepcopy(self.document.get("status", {}))
        self._said: list[Say] = []

    @property
    def namespace(self) -> str:
        """The job's."""
        return str(self.document["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """The job's."""
        return str(self.document["metadata"]["name"])

    def decide(self) -> None:
        """Find what is to be done, and what is to be said; the world has that much less for the jobs after this."""
        try:
            self._advance()
        except Invalid as error:
            self._refuse_job(error)
        if any(said.type in ("Complete", "Failed") for said in self._said):
            note_job(self.seen, self.world)

    def refuse(self, error: Refused) -> None:
        """Say what the API server had against it: for now, or whenever it is tried."""
        if error.status == FORBIDDEN:  # a quota, a policy: nothing that another manifest would mend
            self.memory.refused_until_us = self.world.now_us + REFUSED_US
            self._say(Say(type="Admitted", status="False", reason="Forbidden", message=str(error)))
        else:
            self._fail("InvalidTemplate", str(error))

    def status(self) -> Document:
        """The job's status as it is now to be."""
        generation = self.document["metadata"]["generation"]
        status = {**self._status, "observedGeneration": generation}
        status["conditions"] = merge_conditions(
            self._status.get("conditions", []), self._said, generation=generation, now=moment(self.world.now_us)
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

    def _say(self, said: Say) -> None:
        self._said.append(said)

    def _fail(self, reason: str, message: str) -> None:
        self._say(Say(type="Failed", status="True", reason=reason, message=message))

    def _refuse_job(self, error: Invalid) -> None:
        """Say what is wrong: with the profiles, which can be mended while the job waits, or with the job."""
        if error.field in ("profiles", "pool"):
            self._say(Say(type="Profiled", status="False", reason="ProfilesUnusable", message=str(error)))
        else:
            self._fail("InvalidJob", str(error))

    def _advance(self) -> None:
        job = self.world.with_slow_nodes(parse_job(self.document))
        created_us = micros_of(self.document["metadata"]["creationTimestamp"]) or self.world.now_us
        deadline_us = job.spec.deadline_us(accepted_us=created_us)
        self._status |= {"acceptedTime": moment(created_us), "deadlineTime": moment(deadline_us)}
        is_indexed = is_true(self._status, "Indexed") or self._index(job)
        if any(said.type == "Failed" for said in self._said):
            return
        if job.spec.suspend:
            self.writes += [*stop_all(self.seen), *stop_profiling(self.seen)]
            self._say(Say(type="Admitted", status="False", reason="Suspended", message="spec.suspend is true."))
        elif self._has_queue(job) and self._is_profiled(job) and is_indexed:
            self._work(job, deadline_us)

    # ---- the steps there are once

    def _index(self, job: InferenceJob) -> bool:
        """Whether the source is indexed now."""
        step = self.seen.steps.get("index")
        if step is None and (images := images_without_index(job.spec)):
            self._status["images"] = images
            self._say(Say(type="Indexed", status="True", reason="Indexed", message=f"{images:,} synthetic images."))
            return True
        if step is None:
            self._create(index_objects(job, self.document, self.setting))
            self._say(Say(type="Indexed", status="False", reason="Indexing", message="The source is being listed."))
            return False
        ending = ending_of(self.seen.pods, step["metadata"]["name"])
        words = ending.words
        if is_failed(step) or ending.is_final:
            told = ending.sentence or "the index step failed; see the log of its pod"
            self._say(Say(type="Indexed", status="False", reason="SourceUnreadable", message=told))
            self._fail("IndexFailed", told)
        elif is_complete(step) and words.get("images"):
            self._status |= {"images": words["images"], "fingerprint": words["fingerprint"]}
            if words.get("inputCost"):
                self._status["inputCost"] = words["inputCost"]
            told = f"{words['images']:,} images."
            self._say(Say(type="Indexed", status="True", reason="Indexed", message=told))
            return True
        else:
            told = trouble_of_step(self.seen, step["metadata"]["name"]) or "The source is being listed."
            self._say(Say(type="Indexed", status="False", reason="Indexing", message=told))
        return False

    def _finish(self, job: InferenceJob) -> None:
        step = self.seen.steps.get("finish")
        if step is None:
            self._create(finish_objects(job, self.document, self.setting))
            return
        ending = ending_of(self.seen.pods, step["metadata"]["name"])
        words = ending.words
        if is_failed(step) or ending.is_final:
            self._fail("FinishFailed", ending.sentence or "the finish step failed; see the log of its pod")
        elif is_complete(step) and "rows" in words:
            rows, errors = int(words["rows"]), int(words["errors"])
            self._status["progress"] = {
                **self._status.get("progress", {}),
                "images": f"{format_count(rows)}/{format_count(rows)}",
                "imagesDone": rows,
                "imagesFailed": errors,
                "imagesPerSecond": 0,
            }
            self._close(job, rows=rows, errors=errors, ended_us=micros_of(step["status"]["completionTime"]) or 0)

    def _close(self, job: InferenceJob, *, rows: int, errors: int, ended_us: int) -> None:
        deadline_us = micros_of(self._status["deadlineTime"]) or 0
        met = ended_us <= deadline_us
        self._status["progress"]["slack"] = format_duration(deadline_us - ended_us)
        told = f"{rows:,} rows, {errors:,} of them with an error, in {job.spec.sink.uri}."
        self._say(
            Say(
                type="DeadlineMet",
                status="True" if met else "False",
                reason="InTime" if met else "Late",
                message=f"Ended at {moment(ended_us)}; the deadline was {moment(deadline_us)}.",
            )
        )
        if errors > job.spec.allowed_failures(rows):
            self._fail("TooManyFailedImages", told)
        else:
            self._say(Say(type="Complete", status="True", reason="EveryImageHasARow", message=told))

    def _create(self, objects: list[Document]) -> None:
        config_map, work = objects
        self.writes.append(Create(config_map=config_map, job=work))

    # ---- the work

    def _work(self, job: InferenceJob, deadline_us: int) -> None:
        for crew in self.seen.crews:
            ending = ending_of(self.seen.pods, crew.name)
            if ending.is_final:  # what one worker refuses, all would
                self._fail("InvalidJob", ending.sentence)
                return
        view = job_view(
            job, self.seen, self.world, self.setting, self.memory, status=self._status, deadline_us=deadline_us
        )
        if self.world.now_us < self.memory.refused_until_us:
            return
        self._say(admission_of(self.seen))
        if not view.workers and (view.most == 0 or not any(view.counts.values())):
            told = f"No device of the classes {', '.join(sorted(view.counts))} is free"
            if self.world.room[self.namespace]:
                told += ", or the namespace's ResourceQuota has no room for one (`kubectl describe quota`)"
            self._say(
                Say(type="Feasible", status="Unknown", reason="Waiting", message=f"{told}; the job waits for one.")
            )
            return
        decision = decide(view)
        self.memory.lag = decision.memory
        self.memory.generation = self.document["metadata"]["generation"]
        self.memory.lost = frozenset(w.assignment.worker for w in view.workers if w.state == "lost")
        self.memory.queued = frozenset(w.assignment.worker for w in view.workers if w.state == "queued")
        self._tell_progress(view, decision)
        for action in decision.actions:
            match action:
                case Start():
                    self._start(job, view, action)
                case Stop():
                    if stopped := stop_workers(self.seen, view, action):
                        self.writes += stopped
                        self._replanned(view, action.reason, -len(action.workers))
                case Refuse():
                    self._refuse_plan(action, view)
                case Finish():
                    self._end(job, action)

    def _has_queue(self, job: InferenceJob) -> bool:
        if not job.spec.queue_name or self.world.queues.get((self.namespace, job.spec.queue_name)) is not None:
            return True
        told = (
            f"There is no LocalQueue {job.spec.queue_name} in the namespace {self.namespace}, or no Kueue; "
            "make it, or leave spec.queueName out."
        )
        self._say(Say(type="Admitted", status="False", reason="QueueNotFound", message=told))
        return False

    def _is_profiled(self, job: InferenceJob) -> bool:
        may_create = self.world.now_us >= self.memory.refused_until_us
        outcome = look_at_profiles(job, self.seen, self.world, self.setting, may_create=may_create)
        self._say(outcome.said)
        self.writes += outcome.writes
        return outcome.is_ready

    def _tell_progress(self, view: JobView, decision: Decision) -> None:
        if not view.part_size:
            return
        progress = self.seen.progress.values()
        self._status["progress"] = progress_status(
            view,
            decision,
            done=view.images - images_left(view),
            failed=sum(int(p.get("imagesFailed") or 0) for p in progress),
            images_per_second=sum(float(p.get("imagesPerSecond") or 0) for p in progress),
        )
        late = decision.is_short or view.now_us > view.deadline_us
        on_track = Say(type="OnTrack", status="False" if late else "True", reason="Late" if late else "InTime")
        self._say(start_trouble_of(self.seen) or on_track)

    def _start(self, job: InferenceJob, view: JobView, start: Start) -> None:
        plan = start.verdict.plan if start.verdict else None
        if start.verdict:
            said = feasible_condition(start.verdict)
            note = f" {job.spec.deadline_class} is planned as Soft." if job.spec.deadline_class in SO_FAR_SOFT else ""
            self._say(replace(said, message=said.message + note))
            if start.verdict.infeasible:
                self._status["alternatives"] = alternatives_status(start.verdict.infeasible, now_us=view.now_us)
            else:
                self._status.pop("alternatives", None)
        # A number that no ConfigMap of this job ever had, not even of workers that are gone.
        revision = max(view.revision, int(self._status.get("plan", {}).get("revision", 0))) + 1
        if plan:
            self._status["plan"] = plan_status(plan, now_us=view.now_us, revision=revision)
        self._status["plan"] |= {"revision": revision, "partSize": start.part_size}
        if view.workers or not plan:
            self._replanned(view, start.reason, len(start.assignments))
        self.writes += start_workers(
            job,
            self.document,
            self.world,
            self.setting,
            view=view,
            start=start,
            revision=revision,
            fingerprint=self._status.get("fingerprint"),
        )
        # The grid and the revision must be known to whoever comes after, before any worker is there.
        self.is_start = True

    def _refuse_plan(self, refuse: Refuse, view: JobView) -> None:
        said = feasible_condition(refuse.verdict)
        if refuse.verdict.action in ("Reserve", "Hold", "Wait"):
            self._say(replace(said, reason="Waiting"))
            return
        self._say(said)
        if refuse.verdict.infeasible:
            self._status["alternatives"] = alternatives_status(refuse.verdict.infeasible, now_us=view.now_us)
        self._fail("Infeasible", said.message)

    def _end(self, job: InferenceJob, finish: Finish) -> None:
        if finish.complete:
            self._finish(job)
            return
        told = "The deadline has passed, and spec.onDeadline is Stop; what was done is kept."
        self._say(Say(type="DeadlineMet", status="False", reason="Stopped", message=told))
        self._fail("Stopped", told)

    def _replanned(self, view: JobView, reason: str, change: int) -> None:
        before = sum(worker.state not in GONE for worker in view.workers)
        entry = {"time": moment(view.now_us), "reason": reason, "from": before, "to": before + change}
        self._status["replans"] = [*self._status.get("replans", []), entry][-MAX_REPLANS:]
