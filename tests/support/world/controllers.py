"""The cluster's own controllers: of Jobs, of nodes, the scheduler and the garbage collection.

They do what DueBy relies on and no more. An Indexed Job replaces a pod that has ended badly or was deleted once it is
gone, with a pause that doubles; it gives an index up after `backoffLimitPerIndex`; it shrinks at its end.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from dueby_api.quantities import quantity
from dueby_api.units import format_time
from support.world.api_server import APIServer, Watching, follow
from support.world.kubelet import FAILURES, INDEX, Node
from support.world.objects import Document, Key, Place, Stored
from support.world.scheduler import World

JOB_OF_POD = "batch.kubernetes.io/job-name"
# After this long without its Lease a node isn't ready, and its pods' patience begins.
SILENT_S = 40.0
FIRST_PAUSE_S, LAST_PAUSE_S = 10.0, 360.0
UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
TERMINAL = ("Succeeded", "Failed")
# What belongs to Jobs besides their pods.
ASKING = ("podtemplates", "provisioningrequests", "capacitybuffers")


class Controllers:
    """All of them."""

    def __init__(self, world: World, server: APIServer, nodes: dict[str, Node]) -> None:
        self.world = world
        self.server = server
        self.nodes = nodes
        self._failed: dict[tuple[str, int], int] = defaultdict(int)
        """How often an index has failed, by the Job's uid."""
        self._counted: set[str] = set()
        """Pods that were counted as failed or done."""
        self._done: dict[str, set[int]] = defaultdict(set)
        self._not_before_us: dict[tuple[str, int], int] = {}
        self._is_scheduling = False
        for kinds, delay_s, act in (
            (("jobs", "pods"), 0.05, self._sync),
            (("pods", "nodes"), 0.05, self._place_soon),
            (("pods",), 0.02, self._tell_kubelet),
        ):
            follow(server, Watching(kinds=kinds, delay_s=delay_s, act=act))
        server.listeners.append(self._removed)
        world.at(5.0, self._look_at_nodes)

    def _tell_kubelet(self, key: Key) -> None:
        stored = self.server.objects.get(key)
        node = stored and stored.document["spec"].get("nodeName")
        if node:
            self.nodes[node].sync(key)

    def _removed(self, before: Stored | None, after: Stored | None) -> None:
        if before is None or after is not None:
            return
        if before.place.kind == "pods":
            self._count(before, is_gone=True)
        if before.place.kind in ("pods", *ASKING):
            for owner in before.metadata.get("ownerReferences") or ():
                key = (owner["kind"].lower() + "s", before.place.namespace, owner["name"])
                self.world.at(0.05, partial(self._after_dependent, key))
        uid = before.metadata["uid"]
        if before.place.kind in ("inferencejobs", "jobs"):
            self.world.at(self.world.chance.uniform(0.1, 2.0), lambda: self._collect(uid))

    def _collect(self, uid: str) -> None:
        """Delete what was owned by an object that is gone."""
        for stored in list(self.server.owned_by(uid)):
            if stored.place.key in self.server.objects:
                self.server.delete(stored.place.key, {})

    def _after_dependent(self, key: Key) -> None:
        """Remove a Job that waits for its pods, once they are gone."""
        stored = self.server.objects.get(key)
        if stored and stored.metadata.get("finalizers") and not any(self.server.owned_by(stored.metadata["uid"])):
            self.server.remove(key)
        elif stored:
            self._sync(key)

    def _sync(self, key: Key) -> None:
        kind, namespace, _ = key
        if kind == "pods":
            pod = self.server.objects.get(key)
            if pod is None or JOB_OF_POD not in pod.metadata["labels"]:
                return
            key = ("jobs", namespace, pod.metadata["labels"][JOB_OF_POD])
        job = self.server.objects.get(key)
        if job is None:
            return
        if "deletionTimestamp" in job.metadata:
            for pod in list(self.server.owned_by(job.metadata["uid"])):
                self._delete(pod)
            return
        self._sync_job(job)

    def _sync_job(self, job: Stored) -> None:
        uid, spec = job.metadata["uid"], job.document["spec"]
        status: Document = job.document.get("status") or {}
        is_over = any(found["type"] in ("Complete", "Failed") for found in status.get("conditions", ()))
        pods = [pod for pod in self.server.owned_by(uid) if pod.place.kind == "pods"]
        for pod in pods:
            self._count(pod)
        living = [pod for pod in pods if pod.document["status"]["phase"] not in TERMINAL]
        completions = spec.get("completions", 1)
        if is_over or spec.get("suspend"):
            self._delete_all(living)
            return
        self._delete_all(pod for pod in living if _index_of(pod) >= completions)
        is_indexed = spec.get("completionMode") == "Indexed"
        most = spec.get("backoffLimitPerIndex", 6) if is_indexed else spec.get("backoffLimit", 6)
        given_up = {index for index in range(completions) if self._failed[uid, index] > most}
        done = {index for index in self._done[uid] if index < completions}
        busy = {_index_of(pod) for pod in living}
        for index in range(completions):
            if index not in done | given_up | busy:
                self._make_pod(job, index, is_indexed=is_indexed)
        ended = len(done | given_up) == completions
        kinds = () if not ended else ("FailureTarget", "Failed") if given_up else ("SuccessCriteriaMet", "Complete")
        now = format_time(self.world.now_us)
        said = [{"type": kind, "status": "True", "reason": kind, "lastTransitionTime": now} for kind in kinds]
        self.server.set_status(
            job.place.key,
            {
                **status,
                "startTime": status.get("startTime", now),
                "active": len(living),
                "failed": sum(self._failed[uid, index] for index in range(completions)),
                "completedIndexes": _runs(done) if is_indexed else "",
                "failedIndexes": _runs(given_up) if is_indexed else "",
                **({"conditions": said} if said else {}),
                **({"completionTime": now} if "Complete" in kinds else {}),
            },
        )

    def _make_pod(self, job: Stored, index: int, *, is_indexed: bool) -> None:
        uid, name = job.metadata["uid"], job.place.name
        wait_us = self._not_before_us.get((uid, index), 0) - self.world.now_us
        if wait_us > 0:
            self.world.at(wait_us / 1e6, lambda: self._sync(job.place.key))
            return
        template = job.document["spec"]["template"]
        labels = {**template["metadata"].get("labels", {}), JOB_OF_POD: name}
        annotations = {**template["metadata"].get("annotations", {}), FAILURES: str(self._failed[uid, index])}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
        metadata = {
            "generateName": f"{name}-{index}-",
            "labels": {**labels, **({INDEX: str(index)} if is_indexed else {})},
            "annotations": annotations,
            "ownerReferences": [{**owner, "blockOwnerDeletion": True}],
        }
        self.server.create(
            Place(api="api/v1", kind="pods", namespace=job.place.namespace),
            {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}},
        )

    def _count(self, pod: Stored, *, is_gone: bool = False) -> None:
        """Count how the pod has ended, once."""
        phase, uid = pod.document["status"]["phase"], pod.metadata["uid"]
        owner = next(iter(pod.metadata.get("ownerReferences") or ()), None)
        if owner is None or uid in self._counted or (phase not in TERMINAL and not is_gone):
            return
        self._counted.add(uid)
        index = owner["uid"], _index_of(pod)
        if phase == "Succeeded":
            self._done[owner["uid"]].add(_index_of(pod))
        else:
            self._failed[index] += 1
            pause_s = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._failed[index] - 1))
            self._not_before_us[index] = self.world.now_us + round(pause_s * 1e6)

    def _delete_all(self, pods: Iterable[Stored]) -> None:
        for pod in list(pods):
            self._delete(pod)

    def _delete(self, pod: Stored) -> None:
        if pod.place.key in self.server.objects and "deletionTimestamp" not in pod.metadata:
            self.server.delete(pod.place.key, {})

    def _place_soon(self, key: Key) -> None:
        if not self._is_scheduling:
            self._is_scheduling = True
            self.world.at(0.05, self._schedule)

    def _schedule(self) -> None:
        """Put pods on nodes that have room for them."""
        self._is_scheduling = False
        free = {name: self._free(name) for name in self.nodes}
        for pod in list(self.server.all("pods")):
            spec, status = pod.document["spec"], pod.document["status"]
            if spec.get("nodeName") or status["phase"] != "Pending" or "deletionTimestamp" in pod.metadata:
                continue
            asked = _asked(spec)
            names = [name for name in self.nodes if self._takes(name, spec) and _fits(asked, free[name])]
            if names:
                name = min(names, key=lambda name: (not _prefers(spec, name), -free[name]["pods"], name))
                free[name].subtract(asked)
                self.server.change(pod.place.key, {**pod.document, "spec": {**spec, "nodeName": name}})
            elif not status.get("conditions"):
                said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
                self.server.set_status(pod.place.key, {**status, "conditions": [said]})

    def _free(self, name: str) -> Counter[str]:
        allocatable = self.server.get(("nodes", "", name)).document["status"]["allocatable"]
        free = Counter({resource: _milli(amount) for resource, amount in allocatable.items()})
        for pod in self.server.all("pods"):
            if pod.document["spec"].get("nodeName") == name and pod.document["status"]["phase"] not in TERMINAL:
                free.subtract(_asked(pod.document["spec"]))
        return free

    def _takes(self, name: str, spec: Document) -> bool:
        node = self.server.get(("nodes", "", name)).document
        labels = node["metadata"].get("labels", {})
        if node["spec"].get("taints") or any(labels.get(k) != v for k, v in spec.get("nodeSelector", {}).items()):
            return False
        required = _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
        terms = required["nodeSelectorTerms"] if required else [{}]
        return any(all(_matches(name, field) for field in term.get("matchFields", ())) for term in terms)

    def _look_at_nodes(self) -> None:
        """Taint nodes whose Lease is old, and delete the pods that have no more patience."""
        for name in self.nodes:
            node = self.server.get(("nodes", "", name))
            is_ready = not self.nodes[name].is_cut_off
            if is_ready and node.document["spec"].get("taints"):
                self._set_node(node, ready="True", taints=[])
            elif not is_ready:
                cut_us = vars(self.nodes[name]).setdefault("cut_off_us", self.world.now_us)
                silent_s = (self.world.now_us - cut_us) / 1e6
                if silent_s > SILENT_S and not node.document["spec"].get("taints"):
                    self._set_node(node, ready="Unknown", taints=[UNREACHABLE])
                for pod in list(self.server.all("pods")):
                    if pod.document["spec"].get("nodeName") == name and silent_s > SILENT_S + 20:
                        self._delete(pod)
            if is_ready:
                vars(self.nodes[name]).pop("cut_off_us", None)
        self.world.at(5.0, self._look_at_nodes)

    def _set_node(self, node: Stored, *, ready: str, taints: list[Document]) -> None:
        spec = {**node.document["spec"], "taints": taints}
        status = {**node.document["status"], "conditions": [{"type": "Ready", "status": ready}]}
        self.server.change(node.place.key, {**node.document, "spec": spec, "status": status})


def _index_of(pod: Stored) -> int:
    return int(pod.metadata["labels"].get(INDEX, 0))


def _runs(indices: set[int]) -> str:
    return ",".join(map(str, sorted(indices)))


def _milli(amount: Any) -> int:
    return round(quantity(amount) * 1000)


def _asked(spec: Document) -> Counter[str]:
    asked = Counter({"pods": 1000})
    for container in spec["containers"]:
        for resource, amount in (container.get("resources", {}).get("requests") or {}).items():
            asked[resource] += _milli(amount)
    return asked


def _fits(asked: Counter[str], free: Counter[str]) -> bool:
    return all(free[resource] >= amount for resource, amount in asked.items())


def _node_affinity(spec: Document) -> Document:
    found: Document = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return found


def _matches(name: str, field: Document) -> bool:
    return bool((name in field["values"]) == (field["operator"] == "In"))


def _prefers(spec: Document, name: str) -> bool:
    preferred = _node_affinity(spec).get("preferredDuringSchedulingIgnoredDuringExecution", ())
    return any(_matches(name, field) for each in preferred for field in each["preference"].get("matchFields", ()))
