"""A small simulation of a run: workers that finish mini-batches, a loss, a re-plan, and the run's documents."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_pages.wording import counted
from support.simulated_worker import Device, Worker, finish_s, planned_worker

START_US = 1_795_572_005_000_000
REASONS = (
    "It is damaged or truncated: Unsupported marker type 0x3d.",
    "The file is empty.",
    "It has 60000 x 60000 pixels, more than the limit of 100,000,000.",
    "It is not an image of a known format: it looks like an HTML page.",
)


@dataclass(frozen=True, kw_only=True)
class SampleRun:
    """A run's documents and what is needed for its parts."""

    files: Mapping[str, Any]
    images: int
    part_size: int
    failed: Mapping[int, str]
    done: int
    """The parts that lie wholly below this index are there."""
    hostile: str = ""
    """Text in front of every label, URI and error."""


class Simulation:
    """A run of some devices, a mini-batch at a time; the spare one replaces what is lost."""

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        images: int,
        deadline_s: float,
        failures: int = 0,
        part_size: int = 256,
        spare: Device | None = None,
    ) -> None:
        speeds = [device.mini_batch_size / device.step_s for device in devices]
        self.workers = [
            Worker(device=device, left=round(images * speed / sum(speeds))) for device, speed in zip(devices, speeds)
        ]
        self.workers[0].left += images - sum(worker.left for worker in self.workers)
        self.devices, self.spare = devices, spare
        self.images, self.failures, self.part_size, self.deadline_s = images, failures, part_size, deadline_s
        self.chance = random.Random(7)
        self.samples: list[list[Any]] = [[0.0, 0, 0]]
        self.replans: list[dict[str, Any]] = []
        self.revisions = [self._first_revision()]

    def run(self, *, job: str, source: Mapping[str, Any]) -> SampleRun:
        """The run's documents, to its end."""
        for worker in self.workers:
            worker.begin(self.chance)
        queue = [(worker.clock_s, i) for i, worker in enumerate(self.workers)]
        while queue:
            now, i = min(queue)
            queue.remove((now, i))
            self._sample(now)
            if self._advance(i):
                queue.append((self.workers[i].clock_s, i))
            elif self.workers[i].is_lost and self.spare:
                queue.append((self._replace(i), len(self.workers) - 1))
        end_s = max(worker.clock_s for worker in self.workers)
        self.samples.append([round(end_s, 3), self.images, self.failures])
        unlucky = sorted(self.chance.sample(range(self.images), self.failures))
        return SampleRun(
            files={
                "job.yaml": self._manifest(job, source),
                "plan.json": {"revisions": self.revisions},
                "progress.json": self._progress(),
                "summary.json": self._summary(job, end_s),
            },
            images=self.images,
            part_size=self.part_size,
            failed={index: REASONS[i % len(REASONS)] for i, index in enumerate(unlucky)},
            done=self.images,
        )

    def _advance(self, i: int) -> bool:
        """A mini-batch of one's own share or of the one with most left; False where there is none, or no worker."""
        worker = self.workers[i]
        if worker.is_lost:
            worker.clock_s = worker.device.lost_after_s or 0.0
            worker.enter("lost")
            return False
        if not worker.left:
            richest = max(self.workers, key=lambda other: other.left)
            if richest.left <= self.part_size:
                worker.enter("done")
                return False
            worker.enter("tails")
            richest.left -= self.part_size
            worker.left += self.part_size
        worker.step(self.chance)
        return True

    def _replace(self, lost: int) -> float:
        """Start the spare device on what the lost one left; when it has its first mini-batch."""
        gone = self.workers[lost]
        assert self.spare is not None
        helper = Worker(device=self.spare, left=gone.left, born_s=round(gone.clock_s + 1.6, 3))
        gone.left = 0
        planned = planned_worker(f"w{len(self.workers)}", helper)
        self.workers.append(helper)
        helper.begin(self.chance)
        others = {"plan": None, "proofSentence": None, "finishAtConfidenceSeconds": None, "workers": [planned]}
        self.revisions.append({**self.revisions[0], "atSeconds": helper.born_s, "reason": "WorkerLost", **others})
        left = len(self.devices) - 1
        message = f"A worker was lost: {left} to {left + 1} workers"
        self.replans.append(
            {"atSeconds": helper.born_s, "reason": "WorkerLost", "from": left, "to": left + 1, "message": message}
        )
        return helper.clock_s

    def _sample(self, now: float) -> None:
        if now - self.samples[-1][0] >= 1.0:
            done = sum(worker.done for worker in self.workers if worker.samples)
            self.samples.append([round(now, 3), done, self.failures * done // self.images])

    def _first_revision(self) -> dict[str, Any]:
        planned = [planned_worker(f"w{i}", worker) for i, worker in enumerate(self.workers)]
        finish = max(finish_s(worker) for worker in self.workers)
        most = self.images * 19 // 20
        at_confidence = round(min(finish * 1.035, self.deadline_s - 1.3), 3)
        return {
            "atSeconds": 0.0,
            "reason": "Started",
            "plan": self._plan(planned, finish, at_confidence),
            "inputCost": {
                "decodeMicros": 1640,
                "getMicros": 212,
                "bytesPerImage": 77_300,
                "bandwidthBytesPerSecond": 412_000_000,
                "sampled": 256,
            },
            "proofSentence": f"{counted(len(planned) - 1, 'CPU slice')} can do at most {most:,} "
            f"of {self.images:,} by then.",
            "finishAtConfidenceSeconds": at_confidence,
            "workers": planned,
        }

    def _plan(self, planned: Sequence[Mapping[str, Any]], finish: float, at_confidence: float) -> dict[str, Any]:
        names = ("deviceClass", "engine", "miniBatchSize", "iterations", "profile")
        groups = Counter(tuple(worker[name] for name in names) for worker in planned)
        return {
            "feasible": True,
            "gpus": len(planned),
            "lowerBound": len(planned),
            "proof": "ClosedForm+CBC",
            "confidence": 0.95,
            "probability": 0.9874,
            "partSize": self.part_size,
            "images": self.images,
            "planned": sum(worker["miniBatchSize"] * (worker["iterations"] + 1) for worker in planned),
            "expectedSeconds": finish,
            "slackSeconds": round(self.deadline_s - at_confidence, 3),
            "groups": [{**dict(zip(names, key, strict=True)), "count": count} for key, count in groups.items()],
            "alternatives": None,
            "warnings": ["cpu-2: the profile has no spread between nodes; 0.03 is assumed"],
        }

    def _progress(self) -> dict[str, Any]:
        workers = {}
        for i, worker in enumerate(self.workers):
            device, (born, warming, running) = worker.device, [moment for moment, _ in worker.states[:3]]
            workers[f"w{i}"] = {
                "revision": 1 if i < len(self.devices) else 2,
                "deviceClass": device.device_class,
                "engine": device.engine,
                "miniBatchSize": device.mini_batch_size,
                "states": worker.states,
                "samples": [*worker.samples, [round(worker.clock_s, 3), worker.done]],
                "stepMicros": round(1e6 * device.step_s * (1.005 + device.slower_by)),
                "warmupMicros": round(1e6 * (running - warming)),
                "startupMicros": round(1e6 * (warming - born)),
                "partsCommitted": worker.done // self.part_size,
                "parity": {"ok": True, "sentence": "Probabilities within 0.0000011 of torch eager fp32."},
            }
        return {
            "startUnixMicros": START_US,
            "deadlineSeconds": self.deadline_s,
            "samples": self.samples,
            "workers": workers,
        }

    def _summary(self, job: str, end_s: float) -> dict[str, Any]:
        first, in_time = self.revisions[0], end_s <= self.deadline_s
        return {
            "job": job,
            "images": self.images,
            "imagesDone": self.images,
            "imagesFailed": self.failures,
            "startUnixMicros": START_US,
            "deadlineSeconds": self.deadline_s,
            "expectedSeconds": first["plan"]["expectedSeconds"],
            "finishAtConfidenceSeconds": first["finishAtConfidenceSeconds"],
            "actualSeconds": round(end_s, 3),
            "inTime": in_time,
            "verdict": "Succeeded" if in_time else "Late",
            "confidence": 0.95,
            "probability": 0.9874,
            "gpus": len(self.devices),
            "replans": self.replans,
            "model": {"name": "efficientnet_lite0", "weights": "DEFAULT", "imageSize": 224, "precision": "fp32"},
            "weightsWarning": None,
            "software": {"python": "3.11.7", "torch": "2.13.0", "openvino": "2026.4.1", "dueby": "0.1.0"},
            "machine": {"cores": 10, "memoryMiB": 24_576, "devices": {"cpu-1": 6, "cpu-2": 2}},
            "warnings": [],
        }

    def _manifest(self, job: str, source: Mapping[str, Any]) -> dict[str, Any]:
        spec = {
            "images": self.images,
            "deadline": f"{self.deadline_s:g}s",
            "model": {"name": "efficientnet_lite0"},
            "source": dict(source),
            "sink": {"uri": "results"},
            "worker": {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "a-secret-that-no-page-shows"}]},
        }
        return {
            "apiVersion": "dueby.dev/v1alpha1",
            "kind": "InferenceJob",
            "metadata": {"name": job},
            "spec": spec,
        }
