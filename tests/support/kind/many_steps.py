"""Jobs of made-up images that show a device class how long their steps take."""

from functools import partial
from typing import Any

from support.kind.cluster import Cluster
from support.kind.cluster_job import job, share_folder

MOST_JOBS = 12


def rows_of_many_steps(cluster: Cluster, profile: str, count: int, **spec: Any) -> list[dict[str, Any]]:
    """Run jobs until so many have left a row in the class's profile that says how long steps took; return these rows.

    A job says nothing of them if its worker had to wait for images, as it may on a busy machine.
    """
    rows: dict[str, dict[str, Any]] = {}
    while len(telling := [row for row in rows.values() if "stepRatio" in row]) < count:
        assert len(rows) < MOST_JOBS, f"few of these say how long steps took: {rows}"
        names = [f"slow-{len(rows) + number}" for number in range(count - len(telling))]
        cluster.apply(*(job_of_many_steps(cluster, name, **spec) for name in names))
        for name in names:
            done = cluster.wait_for_phase(name, "Succeeded", "Failed")
            assert done["status"]["phase"] == "Succeeded", done
            left = partial(_row_of, cluster, profile, done["metadata"]["uid"])
            rows[name] = cluster.wait(left, f"{name} has left a row in {profile}")
    return telling


def job_of_many_steps(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    """A job whose worker fits beside others."""
    share_folder(cluster, name)
    document = job(cluster, name, source={"synthetic": {}}, **spec)
    document["spec"]["worker"]["resources"] = {"requests": {"cpu": "250m"}}
    return document


def _row_of(cluster: Cluster, profile: str, uid: str) -> dict[str, Any] | None:
    observed: list[dict[str, Any]] = cluster.get("gprof", profile)["spec"].get("observed", [])
    return next((row for row in observed if row["job"] == uid), None)
