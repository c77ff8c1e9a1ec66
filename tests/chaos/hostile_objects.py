"""The hostile objects of the chaos, as manifests. Pure, but for the folder that a source lies in.

Each InferenceJob here is to be refused by the API server, or to be Failed by the operator, with a sentence; and no
object here may keep others from anything. They take at most one slice each, and only until a short deadline: a tenant
who uses devices is a tenant, and not an attack.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaos.cluster import HOSTILE, Document
from dueby_api.inference_job import parse_job
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Owner, step_job_name
from support.kind.cluster import SHARED, Cluster
from support.kind.cluster_job import job, share_folder
from support.kind.images import WORKER_IMAGE
from support.run import write_photos

DEADLINE_S = 180
PROGRAM = "answers"
Make = Callable[[Cluster, str], Document]


def hostile_job(cluster: Cluster, name: str, **spec: Any) -> Document:
    """A job that is over at its deadline, with this in its spec; None takes a field away."""
    share_folder(cluster, name)
    usual = {
        "images": 500,
        "deadline": f"{DEADLINE_S}s",
        "onDeadline": "Stop",
        "gpus": {"max": 1},
        "source": {"synthetic": {"width": 64, "height": 48}},
    }
    document = job(cluster, name, **{**usual, **spec})
    document["spec"] = {key: value for key, value in document["spec"].items() if value is not None}
    document["spec"]["worker"].pop("nodeSelector", None)
    return document


def changed_worker(cluster: Cluster, name: str, **worker: Any) -> Document:
    """A job with this in its spec.worker."""
    document = hostile_job(cluster, name)
    document["spec"]["worker"] |= worker
    return document


def taken_over(cluster: Cluster, name: str, *, step: str, does: str) -> Document:
    """A job of the operator's own image, of which one step runs answers.py. Variables come by envFrom."""
    document = changed_worker(cluster, name, envFrom=[{"configMapRef": {"name": f"{step}-{does.replace(' ', '-')}"}}])
    worker = document["spec"]["worker"]
    worker["volumes"].append({"name": PROGRAM, "hostPath": {"path": f"{SHARED}/{PROGRAM}"}})
    worker["volumeMounts"].append({"name": PROGRAM, "mountPath": f"/{PROGRAM}", "readOnly": True})
    return document


def variables(step: str, does: str) -> Document:
    """What `taken_over` takes its variables from."""
    data = {"PYTHONPATH": f"/{PROGRAM}", "HOSTILE_STEP": step, "HOSTILE_DOES": does}
    metadata = {"name": f"{step}-{does.replace(' ', '-')}"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def nested(levels: int) -> Document:
    """A document that is nested so deeply."""
    found: Document = {}
    for _ in range(levels):
        found = {"a": found}
    return found


def odd_files(cluster: Cluster, name: str) -> Document:
    """A source with a file of 8 GB that takes no room, a FIFO, a link to a device and a few photos."""
    photos = share_folder(cluster, name) / "photos"
    write_photos(photos, 20)
    with (photos / "x.jpg").open("wb") as file:
        file.truncate(8 * 10**9)
    os.mkfifo(photos / "fifo.jpg")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    return hostile_job(cluster, name, images=None, maxFailedImages=0, source={"uri": "/data/photos"})


# Each is refused, or Failed with a sentence.
BAD_JOBS: Mapping[str, Make] = {
    "requests in a word": lambda c, n: changed_worker(c, n, resources={"requests": "4"}),
    "requests of no quantity": lambda c, n: changed_worker(c, n, resources={"requests": {"cpu": "-1e999999"}}),
    "a time of another age": lambda c, n: hostile_job(c, n, deadline=None, deadlineTime="0999-01-01T00:00:00Z"),
    "a queue that is a path": lambda c, n: hostile_job(c, n, queueName="team/a"),
    "a queue that is not there": lambda c, n: hostile_job(c, n, queueName="nowhere"),
    "10^12 images by a hard deadline": lambda c, n: hostile_job(c, n, images=10**12, deadlineClass="Hard"),
    "10^12 images by a soft deadline": lambda c, n: hostile_job(c, n, images=10**12),
    "64 long classes": lambda c, n: hostile_job(
        c, n, gpus={"max": 1, "classes": [f"{number:02d}-" + "Q" * 120 for number in range(64)]}
    ),
    "a volume nested deeply": lambda c, n: changed_worker(
        c, n, volumes=[{"name": "shared", "hostPath": {"path": "/"}, "deep": nested(400)}]
    ),
    "a spec of 90 KB": lambda c, n: changed_worker(c, n, annotations=dict.fromkeys("abc", "x" * 30000)),
    "a claim that is not there": lambda c, n: changed_worker(
        c, n, volumes=[{"name": "shared", "persistentVolumeClaim": {"claimName": "nowhere"}}]
    ),
    "an image that is not there": lambda c, n: changed_worker(c, n, image="nowhere.invalid/worker:1"),
    "an index that crashes": lambda c, n: taken_over(c, n, step="index", does="crash"),
    "workers that crash": lambda c, n: taken_over(c, n, step="work", does="crash"),
    "workers that are done and did nothing": lambda c, n: taken_over(c, n, step="work", does="words 11"),
    "last words of an index, nested": lambda c, n: taken_over(c, n, step="index", does="words 13"),
    "last words of an index, of other types": lambda c, n: taken_over(c, n, step="index", does="words 11"),
    "last words of a finish, none": lambda c, n: taken_over(c, n, step="finish", does="words 0"),
    "a huge file, a FIFO and a device": odd_files,
}
# What BAD_JOBS takes variables from.
TAKEN_OVER = (
    *(("index", "crash"), ("work", "crash"), ("work", "words 11"), ("work", "serve")),
    *(("index", "words 13"), ("index", "words 11"), ("finish", "words 0")),
)


def liar(cluster: Cluster, name: str) -> Document:
    """A job whose workers answer anything."""
    return taken_over(cluster, name, step="work", does="serve")


def hangers_on(job_name: str, job_uid: str, infj: str, infj_uid: str) -> list[Document]:
    """What a tenant adds to a running job: pods that say they are its workers, and a Job of a hundred thousand."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": job_uid}
    labels, of_job = names.labels(infj, "work"), {names.JOB_OF_POD: job_name}
    indices = ("abc", "0", "99999999999")
    pods = [
        pod(f"{infj}-{place}", ["serve"], {**labels, **of_job, names.INDEX_OF_POD: index}, owner)
        for place, index in enumerate(indices)
    ]
    pods += [
        pod(f"{infj}-words-{number}", ["words", str(number)], {**labels, **of_job}, owner) for number in range(4, 17, 3)
    ]
    owned = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "name": infj, "uid": infj_uid}
    return [*pods, huge_job(f"{infj}-huge", {**labels, names.REVISION: "7"}, owned)]


def pod(name: str, arguments: list[str], labels: Document, owner: Document | None = None) -> Document:
    """A pod of the worker's image with its container's name, that runs answers.py."""
    container = {
        "name": "dueby",
        "image": WORKER_IMAGE,
        "command": ["python", f"/{PROGRAM}/answers.py", *arguments],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": PROGRAM, "mountPath": f"/{PROGRAM}", "readOnly": True}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": PROGRAM, "hostPath": {"path": f"{SHARED}/{PROGRAM}"}}],
    }
    metadata = {"name": name, "labels": labels, **({"ownerReferences": [owner]} if owner else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def huge_job(name: str, labels: Document, owner: Document | None = None) -> Document:
    """A Job of a hundred thousand pods that is suspended."""
    spec = {
        "suspend": True,
        "completionMode": "Indexed",
        "completions": 100_000,
        "parallelism": 100_000,
        "template": {
            "metadata": {"labels": labels},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "dueby", "image": WORKER_IMAGE}]},
        },
    }
    metadata = {"name": name, "labels": labels, **({"ownerReferences": [owner]} if owner else {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def strangers() -> list[Document]:
    """Pods and a Job with our labels that no InferenceJob owns."""
    labels = names.labels("nobody", "work")
    of_job = {names.JOB_OF_POD: "nobody", names.INDEX_OF_POD: "abc"}
    return [pod("stranger", ["serve"], {**labels, **of_job}), huge_job("huge", labels)]


def planted(document: Document) -> list[Document]:
    """A Job and a ConfigMap of the name that the job's finish step is about to use."""
    owner = Owner(job=parse_job(document), namespace=HOSTILE, uid=document["metadata"]["uid"])
    metadata = {"name": step_job_name(owner, "finish")}
    container = {"name": "c", "image": "nowhere.invalid/image:1"}
    spec = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.json": "{}"}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec},
    ]


def bring_program(shared: Path) -> None:
    """Put answers.py where pods find it, as a script and as what Python imports at its start."""
    folder = shared / PROGRAM
    folder.mkdir()
    text = Path(__file__).with_name("answers.py").read_text()
    for name in ("answers.py", "sitecustomize.py"):
        (folder / name).write_text(text)
