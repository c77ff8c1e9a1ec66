"""One cluster for every file of tests in this folder."""

from collections.abc import Iterator

import pytest

from support.cluster import Cluster, make_cluster, remove_cluster
from support.gpus import fake_gpus
from support.run import profile_document


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """DueBy in a real cluster, with the profile of the tests' jobs."""
    made = make_cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.apply(profile_document())
        yield made
    finally:
        remove_cluster()


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Four of a class on each of two nodes, which nothing but the scheduler and the operator believes in."""
    with fake_gpus(cluster):
        yield
