"""One cluster for all files of this folder, each of which has a namespace and nodes of it: see support/lanes.py."""

import pytest

from support.kind.cluster import Cluster
from support.kind.kind_cluster import shared_cluster
from support.lanes import lane_of


@pytest.fixture(scope="session")
def whole_cluster() -> Cluster:
    """DueBy in a real cluster, which goes when all tests of this folder are done."""
    return shared_cluster()


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, whole_cluster: Cluster) -> Cluster:
    """The cluster, with the namespace and the nodes of this file."""
    file = request.path.stem
    return whole_cluster.within(file.removeprefix("test_").replace("_", "-"), lane=lane_of(file))
