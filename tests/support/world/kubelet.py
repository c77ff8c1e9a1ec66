"""A node's kubelet, and the processes of its pods: DueBy's own steps.

A node can be cut off, with its pods running on, or lose its power. While it is cut off nobody hears of what happens on
it; once it is back, it reports what has ended and ends what was deleted meanwhile.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dueby_api.schema import Spec
from dueby_api.step_config import FinishConfig, IndexConfig, WorkConfig
from dueby_api.units import format_time
from dueby_operator.objects.pods import CONTAINER
from dueby_worker.steps.command import load_config, run_to_end
from dueby_worker.steps.finish_step import finish_sink
from dueby_worker.steps.index_step import index_source
from dueby_worker.steps.work_step import work
from support.world.api_server import APIServer
from support.world.network import network_of
from support.world.objects import Key, Stored
from support.world.scheduler import Process, World

FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX = "batch.kubernetes.io/job-completion-index"
# From a pod's place on a node to its process, in seconds.
START_S = 0.4
RENEW_S = 10.0
KILLED, TERMINATED = 137, 143


@dataclass(eq=False)
class Container:
    """The process of a pod."""

    pod: Stored
    process: Process
    is_told_to_end: bool = False
    ended: dict[str, Any] | None = None
    """Its terminated state, once it has ended."""

    @property
    def is_working(self) -> bool:
        """Whether it is a worker's that has started and not ended."""
        return self.process.attributes.get("step") == "work" and self.ended is None


@dataclass(eq=False)
class Node:
    """A node and its kubelet."""

    world: World
    server: APIServer
    name: str
    step_s: Callable[[Stored], Callable[[], float]]
    """How long the mini-batches of a pod's worker take."""
    is_cut_off: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    """By their pods' uids."""

    def begin(self) -> None:
        """Renew the node's Lease for ever."""
        self._renew()

    def _renew(self) -> None:
        if not self.is_cut_off:
            key = ("leases", "kube-node-lease", self.name)
            lease = self.server.get(key).document
            self.server.change(key, {**lease, "spec": {"renewTime": format_time(self.world.now_us)}})
        self.world.at(RENEW_S, self._renew)

    def sync(self, key: Key) -> None:
        """Do what the API server says about a pod."""
        stored = self.server.objects.get(key)
        if self.is_cut_off or stored is None:
            return
        uid, is_leaving = stored.metadata["uid"], "deletionTimestamp" in stored.metadata
        container = self.containers.get(uid)
        if container is None:
            if is_leaving:
                self.server.remove(key)
            elif stored.document["status"].get("phase") == "Pending":
                process = Process(f"pod {key[2]}", attributes={"kill": lambda: self.kill(uid)})
                self.containers[uid] = Container(stored, process)
                self.world.at(START_S, lambda: self._start(self.containers[uid]))
        elif container.ended is not None:
            self._report(container)
        elif is_leaving and not container.is_told_to_end:
            container.is_told_to_end = True
            self._terminate(container)

    def cut_off(self) -> None:
        """Cut the node's kubelet off from the API server, and its pods from the operator."""
        self.is_cut_off = True

    def crash(self) -> None:
        """Let the node lose its power."""
        self.is_cut_off = True
        for container in self.containers.values():
            self._end(container, KILLED)

    def come_back(self) -> None:
        """Let it be as before."""
        self.is_cut_off = False
        for container in list(self.containers.values()):
            self.sync(container.pod.place.key)
        for stored in self.server.all("pods"):
            if stored.document["spec"].get("nodeName") == self.name:
                self.sync(stored.place.key)

    def kill(self, uid: str) -> None:
        """Kill a pod's process, as the kernel does."""
        container = self.containers[uid]
        if container.ended is None and not container.process.is_dead:
            self._end(container, KILLED)

    def _start(self, container: Container) -> None:
        pod, process = container.pod, container.process
        if container.ended is not None or container.is_told_to_end:
            return
        number = int(pod.metadata["uid"].rpartition("-")[2])
        process.attributes |= {"ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "node": self}
        process.attributes |= {"step_s": self.step_s(pod), "began_us": self.world.now_us}
        process.attributes["step"] = pod.document["spec"]["containers"][0]["args"][0]
        process.attributes["job"] = self._job_of(pod)
        process.attributes["losses"] = pod.metadata["annotations"].get(FAILURES, "0")
        self._report(container)
        self.world.tell(f"{process.name} starts on {self.name}")

        def main() -> None:
            code = run_pod(pod, self.server)
            self._end(container, code)

        self.world.spawn(process, main)

    def _job_of(self, pod: Stored) -> str:
        """Return the uid of the InferenceJob that the pod is for."""
        owner = pod.metadata["ownerReferences"][0]
        job = self.server.objects.get(("jobs", pod.place.namespace, owner["name"]))
        return str(job.metadata["ownerReferences"][0]["uid"]) if job else ""

    def _terminate(self, container: Container) -> None:
        """Do as the signal SIGTERM does to a worker, and kill it when its grace is over."""
        process = container.process
        grace_s = container.pod.document["spec"].get("terminationGracePeriodSeconds", 30)
        self.world.at(grace_s, lambda: self.kill(container.pod.metadata["uid"]))
        finish = process.attributes.get("finish")

        def leave() -> None:
            try:
                if finish is not None:
                    finish()
            finally:
                if not process.is_dead:
                    self._end(container, TERMINATED)

        self.world.spawn(process, leave, name="finish")

    def _end(self, container: Container, code: int) -> None:
        """Note that the process is over, with all of its threads."""
        process = container.process
        if container.ended is not None:
            return
        process.is_dead = True
        process.attributes["exit_code"] = code
        if "ip" in process.attributes:
            network_of(self.world).hosts.pop(f"{process.attributes['ip']}:8080", None)
        message = process.attributes.get("message") if code not in (KILLED, TERMINATED) else None
        self.world.tell(f"{process.name} ends with {code} {json.dumps(message)[:300] if message else ''}")
        began_us = process.attributes.get("began_us", self.world.now_us)
        container.ended = {
            "exitCode": code,
            "message": json.dumps(message, separators=(",", ":"))[:4096] if message else "",
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": format_time(began_us),
            "finishedAt": format_time(self.world.now_us),
        }
        self.world.at(0.05, lambda: self.sync(container.pod.place.key))

    def _report(self, container: Container) -> None:
        """Write how the pod is, and remove it if it was deleted and has ended."""
        key, uid = container.pod.place.key, container.pod.metadata["uid"]
        stored = self.server.objects.get(key)
        if stored is None or stored.metadata["uid"] != uid or self.is_cut_off:
            return
        state: dict[str, Any] = {"running": {"startedAt": format_time(self.world.now_us)}}
        phase = "Running"
        if container.ended is not None:
            state, phase = {"terminated": container.ended}, "Failed" if container.ended["exitCode"] else "Succeeded"
        status = {
            **stored.document["status"],
            "phase": phase,
            "podIP": container.process.attributes.get("ip", ""),
            "containerStatuses": [{"name": CONTAINER, "state": state}],
        }
        self.server.set_status(key, status)
        if container.ended is not None and "deletionTimestamp" in stored.metadata:
            self.server.remove(key)


def run_pod(pod: Stored, server: APIServer) -> int:
    """Run the pod's step to its end, in its process; return the exit code."""
    spec = pod.document["spec"]
    step = spec["containers"][0]["args"][0]
    volume = next(each for each in spec["volumes"] if each["name"] == "dueby-config")
    config_map = server.objects.get(("configmaps", pod.place.namespace, volume["configMap"]["name"]))
    if config_map is None:
        return 1
    index = pod.metadata["labels"].get(INDEX)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(config_map.document["data"]["config.json"])
        file.flush()
        path = Path(file.name)
        return run_to_end(lambda: _STEPS[step](path, None if index is None else int(index)))


def _age_us(process: Process) -> int:
    began_us: int = process.attributes["began_us"]
    return World.current.now_us - began_us


def _index(path: Path, number: int | None) -> Spec:
    return index_source(load_config(IndexConfig, path, index=number))


def _work(path: Path, number: int | None) -> Spec:
    process = World.current.my_thread().process
    losses = int(process.attributes["losses"])
    return work(load_config(WorkConfig, path, index=number), process_age_us=lambda: _age_us(process), losses=losses)


def _finish(path: Path, number: int | None) -> Spec:
    return finish_sink(load_config(FinishConfig, path, index=number))


_STEPS: dict[str, Callable[[Path, int | None], Spec]] = {"index": _index, "work": _work, "finish": _finish}
