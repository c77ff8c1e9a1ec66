"""Which end-to-end tests run beside each other: lanes, each with nodes of the cluster, and the files of each.

The tests of a lane run one after the other, those of different lanes at the same time. A file has a namespace of its
own and only the nodes of its lane: nobody minds what it does to them, and its jobs compete with no other file's.
Tests that stop something for everybody (the operator is uninstalled, the API server is killed) are in the folder
tests/e2e/undisturbed, and wait until all others of tests/e2e are done. Those of tests/integration/undisturbed measure
this machine within a time, and wait until all others are done.
"""

from dataclasses import dataclass
from pathlib import Path

from support.kind.images import NAME

E2E, INTEGRATION = (Path(__file__).parents[1] / name for name in ("e2e", "integration"))
UNDISTURBED = "undisturbed"


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Files whose tests run one after the other."""

    nodes: int
    """How many they need. The worker's image is unpacked on each, which takes a core most of a minute."""
    files: tuple[str, ...]


# They take about as long as each other, and mostly wait. One more costs a node, whose kubelet takes 2 % of a core, and
# a process that reads all test modules. A file that is in none, such as one of undisturbed tests, is in the first.
LANES = (
    Lane(nodes=2, files=("test_losses", "test_calendar_places", "test_calendar_changes", "test_nodes", "test_gpus")),
    Lane(
        nodes=1,
        files=(
            *("test_calendar", "test_one_store", "test_dra", "test_examples_in_cluster", "test_images", "test_doctor"),
            *("test_chart_manifests", "test_chart_names", "test_page_manifests", "test_validation"),
        ),
    ),
    Lane(nodes=1, files=("test_nights", "test_first_line", "test_chart", "test_doomed_jobs")),
    Lane(nodes=1, files=("test_node_profiles", "test_profiling", "test_pools")),
)
LANE_LABEL = "dueby.test/lane"
CONTROL_PLANE = f"{NAME}-control-plane"


def lane_of(file: str) -> int:
    """Return the lane of a file, by its name without the ending."""
    return next((lane for lane, found in enumerate(LANES) if file in found.files), 0)


def nodes_of_lane(lane: int) -> tuple[str, ...]:
    """Return the lane's nodes, as kind calls them: worker, worker2, worker3."""
    first = 1 + sum(before.nodes for before in LANES[:lane])
    return tuple(f"{NAME}-worker{n if n > 1 else ''}" for n in range(first, first + LANES[lane].nodes))


def nodes_of(file: str) -> tuple[str, ...]:
    """Return the nodes of a file's lane."""
    return nodes_of_lane(lane_of(file))


def goes_first(other: Path, path: Path) -> bool:
    """Return whether the tests of the other file must have ended before those of this undisturbed one begin."""
    folder = path.parent
    return not other.is_relative_to(folder) and (folder.parent == INTEGRATION or other.is_relative_to(E2E))


WORKER_NODES = tuple(node for lane in range(len(LANES)) for node in nodes_of_lane(lane))


def work_unit(nodeid: str) -> str:
    """Return what a worker of xdist gets as a whole: a lane, a folder of undisturbed tests, or a file of others."""
    file = Path(nodeid.partition("::")[0])
    if E2E.name in file.parts:
        return f"lane {lane_of(file.stem)}"
    return str(file.parent if file.parent.name == UNDISTURBED else file)
