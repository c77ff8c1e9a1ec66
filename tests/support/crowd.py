"""What one tenant can fill an API server with: objects that are large, wide or many, by a seed."""

import base64
import gzip
import json
import random
from typing import Any

from dueby_operator import paths
from dueby_operator.jobs import names
from support.control_loop import Store, synthetic
from support.decisions import MADE, infj, node_document
from support.operator import profile

Document = dict[str, Any]
TENANT, FRIEND = "tenant", "friend"
# An object of 1.4 MB, of which etcd takes 1.5.
EMPTY_LISTS = 480_000
SINK = {"uri": "s3://bucket/rows"}


def crowd(seed: int) -> Store:
    """Return an API server with a node, a profile, a job of another tenant, and what the tenant has made."""
    chance, store = random.Random(seed), Store()
    node = node_document()
    store.add(f"{paths.core_path('nodes')}/n", {**node, "metadata": {**node["metadata"], "uid": "uid-of-n"}})
    store.add(f"{paths.profiles_path()}/cpu-1", profile().document())
    store.add(paths.jobs_path("team", FRIEND), synthetic(FRIEND))
    wide: list[list[Any]] = [[] for _ in range(EMPTY_LISTS)]
    for number in range(chance.randrange(3, 5)):
        _add_job(store, f"wide-{number}", {"volumes": [{"name": "a", "x": wide}]})
    for number in range(chance.randrange(1, 4)):
        _add_job(store, f"deep-{number}", {"volumes": [{"name": "a", "x": _deep(chance.randrange(500, 900))}]})
    for number in range(chance.randrange(400, 500)):
        _add_job(store, f"small-{number:04}", _largest_worker(chance) if number % 4 else {})
    bombs = [packed_bomb(f"{seed}-{number}") for number in range(16)]
    for number in range(chance.randrange(4, 9)):
        status = {"phase": "Running", "ownProfiles": 4 * bombs, "message": "a" * chance.randrange(2**18)}
        _add_job(store, f"bombs-{number}", {}, status=status)
    for number in range(chance.randrange(10, 21)):
        _add_forged(store, number, chance)
    return store


def _add_job(store: Store, name: str, worker: Document, *, status: Document | None = None) -> None:
    metadata = {"name": name, "namespace": TENANT, "uid": f"uid-of-{name}", "annotations": {"note": "a" * 10_000}}
    document = infj(metadata=metadata, images=10_000, source={"synthetic": {}}, sink=SINK, worker=worker, status=status)
    store.add(paths.jobs_path(TENANT, name), document)


def _deep(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


def _largest_worker(chance: random.Random) -> Document:
    """As many objects as a job may be made of, in as few bytes."""
    return {
        "env": [{"name": f"A{number}"} for number in range(256)],
        "volumeMounts": [{"name": "v", "mountPath": f"/{number}"} for number in range(128)],
        "labels": {f"a{number}": "b" for number in range(64)},
        "tolerations": [{"operator": "Exists"} for _ in range(64)],
        "nodeSelector": {f"a{number}": str(chance.random()) for number in range(64)},
    }


def packed_bomb(number: str, *, lists: int = 100_000) -> str:
    """A packed profile that holds so many of them."""
    spec = profile().spec.document() | {"software": {"a": 0, "b": number}}
    text = json.dumps(spec, separators=(",", ":")).replace('"a":0', f'"a":[{",".join(lists * ["[]"])}]')
    return base64.b64encode(gzip.compress(text.encode())).decode()


def _add_forged(store: Store, number: int, chance: random.Random) -> None:
    """Add a Job, its ConfigMap and its pod that look like those of a job's workers, but for who made them."""
    name, owner = f"forged-{number}", {"kind": "InferenceJob", "name": "small-0000", "uid": "uid-of-small-0000"}
    labels = {names.JOB: "small-0000", names.REVISION: str(chance.choice((1, 2, 90))), **names.WORKER}
    notes = {f"note-{each}": "a" * 60_000 for each in range(4)}
    metadata = {"name": name, "namespace": TENANT, "labels": labels, "creationTimestamp": MADE}
    own = [{"worker": f"w{each}", "share": [each, each + 1]} for each in range(1000)]
    plan = {"common": _common(), "assignments": own}
    job = {"uid": f"uid-of-{name}", "annotations": notes, "ownerReferences": [owner]}
    store.add(paths.batch_path(TENANT, name), {"metadata": {**metadata, **job}, "spec": {"completions": 1000}})
    config_map = {"uid": f"uid-of-map-{name}", "ownerReferences": [owner]}
    data = {"plan.json": json.dumps(plan, separators=(",", ":")), "other": "a" * 500_000}
    store.add(paths.core_path("configmaps", TENANT, name), {"metadata": {**metadata, **config_map}, "data": data})
    for index in range(4):
        pod = {"name": f"{name}-{index}", "uid": f"uid-of-pod-{name}-{index}", "annotations": notes, "labels": labels}
        document = {"metadata": {**metadata, **pod}, "spec": {"containers": []}, "status": {"phase": "Pending"}}
        store.add(paths.core_path("pods", TENANT, f"{name}-{index}"), document)


def _common() -> Document:
    return {
        "revision": 1,
        "deviceClass": "cpu-1",
        "engine": "openvino",
        "miniBatchSize": 8,
        "iterations": 10,
        "profile": "p",
        "latencyMicros": 1000,
        "startMicros": 1000,
        "expectedStartMicros": 1000,
        "expectedWarmupMicros": 1000,
    }
