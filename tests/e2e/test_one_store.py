"""Two jobs on one bucket that serves little: the first is promised all of it, and the other one's turn comes after.

The server is a real one on this machine. A proxy before it answers what is more than the limit with SlowDown, as S3
does, and workers run as fast as they can.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.fault_proxy import SLOW_DOWN, FaultProxy, Refusal, Request, fault_proxy
from support.kind.cluster import NARROW, NARROW_REQUESTS_PER_S, Cluster, call
from support.kind.cluster_job import condition, indices_of, job, share_folder, wait_for_end, wait_until_told, workers_of
from support.kind.model import MODEL, profile_document
from support.run import write_photos
from support.s3 import S3Server, versitygw_server

pytestmark = [pytest.mark.cluster, pytest.mark.s3, pytest.mark.timeout(900, func_only=True)]
IMAGES = 240
# A slice does as many a second as the store serves, so that it feeds one of the two. Real ones would do more.
STEP_US = 8 * 1_000_000 // NARROW_REQUESTS_PER_S
SMALL = {**MODEL, "imageSize": 48}
Document = dict[str, Any]


class Limit:
    """Refuses GETs of images that are more than the limit in the last second."""

    def __init__(self) -> None:
        self.refused = 0
        self._granted_s: deque[float] = deque()
        self._lock = threading.Lock()

    def fault(self, request: Request) -> Refusal | None:
        if request.method != "GET" or not request.path.endswith(".jpg"):
            return None
        with self._lock:
            now_s = time.monotonic()
            while self._granted_s and self._granted_s[0] < now_s - 1:
                self._granted_s.popleft()
            if len(self._granted_s) >= NARROW_REQUESTS_PER_S:
                self.refused += 1
                return SLOW_DOWN
            self._granted_s.append(now_s)
        return None


def gateway() -> str:
    """Return the address at which the cluster's nodes reach this machine."""
    template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    addresses = call("docker", "network", "inspect", "kind", "--format", template).split()
    return next(address for address in addresses if "." in address)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    """A server with the photos."""
    bucket = NARROW.removeprefix("s3://").rstrip("/")
    write_photos(tmp_path / "s3" / bucket / "in", IMAGES)
    with versitygw_server(tmp_path, bucket=bucket) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    """What the jobs take for the server."""
    with fault_proxy(server.endpoint, host=gateway()) as proxy:
        yield proxy


def reader(cluster: Cluster, name: str, server: S3Server, proxy: FaultProxy, **spec: Any) -> Document:
    """Return a job that reads the bucket through the proxy."""
    made = job(cluster, name, source={"uri": f"{NARROW}in"}, model=SMALL, **spec)
    found = {**server.env, "AWS_ENDPOINT_URL": proxy.endpoint}
    made["spec"]["worker"]["env"] = [{"name": key, "value": value} for key, value in found.items()]
    return made


def test_two_jobs_on_one_bucket_share_what_it_serves(cluster: Cluster, server: S3Server, proxy: FaultProxy) -> None:
    limit = Limit()
    proxy.fault = limit.fault
    profile = profile_document(latency_us=STEP_US)
    profile["metadata"]["name"], profile["spec"]["model"]["imageSize"] = "as-fast-as-the-store", 48
    rows = {name: share_folder(cluster, name) / "rows" for name in ("first", "second")}
    cluster.apply(profile, reader(cluster, "first", server, proxy, deadlineClass="Hard"))
    cluster.wait(partial(workers_of, cluster, "first"), "the first job has workers")
    assert condition(cluster.get("infj", "first"), "Feasible")["status"] == "True"
    plan = cluster.get("infj", "first")["status"]["plan"]
    assert (plan["gpus"], plan["store"]["name"], plan["store"]["imagesPerSecond"]) == (1, NARROW, 8.0)

    cluster.apply(reader(cluster, "second", server, proxy, deadline="11m"))
    told, workers = wait_until_told(cluster, "second", "Feasible"), workers_of(cluster, "second")
    at_work = cluster.get("infj", "first")["status"]
    if at_work["phase"] == "Running" and at_work.get("progress", {}).get("imagesDone", 0) < IMAGES // 2:
        assert (told["reason"], workers) == ("Reserved", set()), (
            "a slice is idle, but the store has nothing left for it"
        )
    for name in rows:
        ended = wait_for_end(cluster, name, rows[name])
        assert ended["status"]["phase"] == "Succeeded", ended["status"]
        assert indices_of(rows[name]) == list(range(IMAGES))
        assert ended["status"]["progress"].get("imagesFailed", 0) == 0
    assert limit.refused, "workers were faster than the store"
    seen = cluster.get("infj", "second")["status"]["observedStore"]
    assert seen["store"] == NARROW.rstrip("/")
    assert 0 < seen["requestsPerSecond"] < 2 * NARROW_REQUESTS_PER_S
    cluster.kubectl("delete", "infj/first", "infj/second", "gprof/as-fast-as-the-store")
