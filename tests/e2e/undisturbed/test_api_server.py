"""The API server is killed while a job runs."""

import pytest

from support.cluster import Cluster, call
from support.cluster_job import indices_of, job, share_photos
from support.lanes import CONTROL_PLANE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]


def test_the_api_server_is_restarted_and_the_job_goes_on(cluster: Cluster) -> None:
    folder = share_photos(cluster, "restarted", 3000)
    cluster.apply(job(cluster, "restarted"))
    cluster.wait_for_phase("restarted", "Running")
    call("docker", "exec", CONTROL_PLANE, "pkill", "-9", "kube-apiserver")
    cluster.wait(lambda: cluster.attempt("get", "--raw", "/readyz")[0], "the API server is back")
    done = cluster.wait_for_phase("restarted", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(3000))
