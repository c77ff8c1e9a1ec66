"""One cluster for all files of this folder, each of which has a namespace and nodes of it: see support/lanes.py."""

import tempfile
from pathlib import Path

import pytest

from support.kind.cluster import Cluster
from support.kind.kind_cluster import CLUSTER, cluster_in, make_cluster
from support.kind.model import profile_document
from support.lanes import lane_of
from support.shared_run import RUN, locked


@pytest.fixture(scope="session")
def whole_cluster() -> Cluster:
    """DueBy in a real cluster. The first process that asks makes it, and it goes when all tests are done."""
    with locked("cluster"):
        if not CLUSTER.exists():
            folder = Path(tempfile.mkdtemp(dir=RUN))
            make_cluster(folder).apply(profile_document())
            CLUSTER.symlink_to(folder)
    return cluster_in(CLUSTER.resolve())


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, whole_cluster: Cluster) -> Cluster:
    """The cluster, with the namespace and the nodes of this file."""
    file = request.path.stem
    return whole_cluster.within(file.removeprefix("test_").replace("_", "-"), lane=lane_of(file))
