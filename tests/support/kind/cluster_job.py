"""A job for the tests' cluster: photos in the folder that its node shares, and what came of them."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from support.kind.cluster import SHARED, Cluster
from support.kind.model import MODEL
from support.run import write_photos

# Of workers that take five milliseconds for an image, on a busy machine or not, and leave the cores to other tests.
SLOW = {"requests": {"cpu": "100m", "memory": "500Mi"}, "limits": {"cpu": "100m"}}


def job(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    """Return a job on the folder that the nodes of this file share with this machine."""
    volume = {"name": "shared", "hostPath": {"path": f"{SHARED}/{cluster.namespace}/{name}"}}
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "deadline": "10m",
            "model": MODEL,
            "source": {"uri": "/data/photos"},
            "sink": {"uri": "/data/rows"},
            "worker": {
                "nodeSelector": cluster.node_selector,
                "volumes": [volume],
                "volumeMounts": [{"name": "shared", "mountPath": "/data"}],
            },
            **spec,
        },
    }


def slow_job(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    """Return such a job that is at work for long enough to be changed, or to lose something, meanwhile."""
    document = job(cluster, name, **spec)
    document["spec"]["worker"]["resources"] = SLOW
    return document


def share_photos(cluster: Cluster, name: str, count: int) -> Path:
    """The job's folder with photos in it."""
    folder = share_folder(cluster, name)
    write_photos(folder / "photos", count)
    return folder


def share_folder(cluster: Cluster, name: str) -> Path:
    """The job's folder, which the pods' user may write to."""
    # Tests of different files may call their jobs the same.
    folder = cluster.shared / cluster.namespace / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    return folder


def workers_of(cluster: Cluster, name: str) -> set[str]:
    """The uids of the pods of the job's workers."""
    return {pod["metadata"]["uid"] for pod in cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")}


def condition(document: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of this type."""
    found: dict[str, Any] = next(c for c in document["status"]["conditions"] if c["type"] == kind)
    return found


def wait_until_told(
    cluster: Cluster, name: str, kind: str, words: str = "", *, reason: str = "", namespace: str | None = None
) -> dict[str, Any]:
    """The condition of this type, once it has this reason and says these words."""

    def there() -> Any:
        conditions = cluster.get("infj", name, namespace=namespace).get("status", {}).get("conditions", [])
        return next(
            (c for c in conditions if c["type"] == kind and reason in ("", c["reason"]) and words in c["message"]), None
        )

    found: dict[str, Any] = cluster.wait(there, f"{name} says {kind} {reason} {words}")
    return found


def wait_for_end(cluster: Cluster, name: str, rows: Path) -> dict[str, Any]:
    """Return the InferenceJob once it is over: a busy machine takes minutes, so each new part begins the wait again."""

    def is_over() -> bool:
        return cluster.get("infj", name).get("status", {}).get("phase") in ("Succeeded", "Failed")

    def moves(found: int) -> bool:
        return is_over() or len(parts_in(rows)) > found

    while not is_over():
        found = len(parts_in(rows))
        cluster.wait(partial(moves, found), f"{name} is over or has more than {found} parts")
    return cluster.get("infj", name)


def parts_in(rows: Path) -> list[Path]:
    """The files of the parts that are in this folder."""
    return sorted(rows.glob("part-*.parquet"))


def indices_of(rows: Path) -> list[int]:
    """Of every row, sorted."""
    return sorted(_dataset(rows).to_table(columns=["index"]).column("index").to_pylist())


def errors_in(rows: Path) -> dict[str, str]:
    """The errors of the rows that have one, by URI."""
    table = _dataset(rows).to_table(columns=["uri", "error"], filter=ds.field("error").is_valid())
    return dict(zip(table["uri"].to_pylist(), table["error"].to_pylist(), strict=True))


def _dataset(rows: Path) -> ds.Dataset:
    return ds.dataset([str(part) for part in parts_in(rows)])
