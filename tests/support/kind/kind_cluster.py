"""How the tests' cluster is made with kind: images, nodes with a folder that they share, the chart.

KIND_NODE_IMAGE is the nodes' image, DUEBY_TEST_CLUSTER the cluster's name. `PYTHONPATH=tests python -m
support.kind.kind_cluster` makes it for the tests of the run in DUEBY_TESTS_RUN, before they ask for it.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from support.kind.cluster import KEPT, MAX_WAIT_S, OPERATOR_NAMESPACE, SHARED, VALUES, Cluster, call, claim
from support.kind.images import NAME, OPERATOR_IMAGE, WORKER_IMAGE, build_images
from support.kind.model import profile_document
from support.lanes import CONTROL_PLANE, LANE_LABEL, LANES, WORKER_NODES
from support.shared_run import RUN, locked

# The folder of the cluster that this run of the tests has made, once it is complete.
CLUSTER = RUN / "cluster"
KUBECONFIG = "kubeconfig"
# Linux's bound on what watches files, and how many a node's kubelet and runtime take of it.
INOTIFY, INOTIFY_OF_NODE = Path("/proc/sys/fs/inotify/max_user_instances"), 20


def shared_cluster() -> Cluster:
    """Return the cluster of this run of the tests; the first process that asks makes it, and the others wait."""
    with locked("cluster"):
        if not CLUSTER.exists():
            folder = Path(tempfile.mkdtemp(dir=RUN))
            make_cluster(folder).apply(profile_document())
            CLUSTER.symlink_to(folder)
    return cluster_in(CLUSTER.resolve())


def make_cluster(folder: Path) -> Cluster:
    """Make it: images, a control plane, the nodes of each lane, and the chart."""
    if INOTIFY.exists():
        needed = INOTIFY_OF_NODE * (1 + len(WORKER_NODES))
        assert int(INOTIFY.read_text()) >= needed, (
            f"kubelets need more: sysctl -w fs.inotify.max_user_instances={needed}"
        )
    shared = folder / "shared"
    for writable in (shared, shared / KEPT):
        # Whoever mounts something in it, for all nodes to see, has made it before.
        writable.mkdir(exist_ok=True)
        writable.chmod(0o777)
    remove_cluster()
    kubeconfig = folder / KUBECONFIG
    image = os.environ.get("KIND_NODE_IMAGE")
    options = ["--kubeconfig", str(kubeconfig), "--wait", "180s", *(["--image", image] if image else [])]
    config = yaml.safe_dump(_kind_config(folder, shared))
    with ThreadPoolExecutor() as pool:
        built = pool.submit(build_images)
        call("kind", "create", "cluster", "--name", NAME, *options, "--config", "-", stdin=config)
        built.result()
    _rest_networks([CONTROL_PLANE, *WORKER_NODES])
    load_image(OPERATOR_IMAGE, [CONTROL_PLANE], shared=shared)
    load_image(WORKER_IMAGE, WORKER_NODES, shared=shared)
    # Nodes are measured when a test says so, and not while it runs.
    window = {"profiler.window.start": f"{(datetime.now(UTC).hour + 12) % 24:02d}:00"}
    (folder / "values.yaml").write_text(yaml.safe_dump({**VALUES, **window}))
    cluster = cluster_in(folder)
    # On two cores there is one left for a worker only if the name server has one replica less.
    cluster.kubectl("scale", "deployment", "coredns", "-n", "kube-system", "--replicas=1")
    cluster.install()
    cluster.apply(*claim(OPERATOR_NAMESPACE, KEPT))
    return cluster


def cluster_in(folder: Path) -> Cluster:
    """Return the cluster that was made in this folder."""
    return Cluster(
        kubeconfig=folder / KUBECONFIG,
        shared=folder / "shared",
        audit_log=folder / "audit" / "audit.log",
        values=yaml.safe_load((folder / "values.yaml").read_text()),
    )


def load_image(image: str, nodes: Iterable[str], *, shared: Path) -> None:
    """Bring an image of this machine to nodes, by way of the folder that they share.

    `kind load` does it too, without --local: then each node takes a core for 100 s for the worker's image, not 30. Nor
    does it drop the layers once they are unpacked, which are 2 GB of a disk for each node.
    """
    with tempfile.NamedTemporaryFile(dir=shared, suffix=".tar") as file:
        call("docker", "save", "-o", file.name, image)
        there = f"{SHARED}/{Path(file.name).name}"
        options = ["--local", "--digests", "--snapshotter=overlayfs", "--discard-unpacked-layers"]
        command = ["ctr", "-n", "k8s.io", "images", "import", *options, there]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: call("docker", "exec", node, *command), nodes))


def end_cluster() -> None:
    """Remove the cluster of this run of the tests, if there is one."""
    with locked("cluster"):
        if CLUSTER.exists():
            remove_cluster()
            CLUSTER.unlink()


def remove_cluster() -> None:
    """Remove the cluster of this name, if there is one."""
    call("kind", "delete", "cluster", "--name", NAME)


def _rest_networks(nodes: Sequence[str]) -> None:
    """Stop what asks on each node every 5 s, with a kubectl of its own, for routes to the other nodes: none is added.

    It is in the image that stands in for kind's where there is no registry, and takes an eighth of a core.
    """
    # With routes to all others, and the default one.
    has_routes = f'[ "$(ip route | grep -c " via ")" -ge {len(nodes)} ]'
    script = f'pid=$(pgrep -o -x nodenet) || exit 0; until {has_routes}; do sleep 0.5; done; kill -STOP "$pid"'
    for node in nodes:
        call("docker", "exec", node, "timeout", str(MAX_WAIT_S), "bash", "-c", script)


def _kind_config(folder: Path, shared: Path) -> dict[str, Any]:
    """Every node shares a folder with this machine; what the operator asks of the API server is logged to another."""
    volumes = {"policies": "/etc/kubernetes/policies", "audit": "/var/log/kubernetes"}
    for name in volumes:
        (folder / name).mkdir()
    asked = {"level": "Metadata", "users": [f"system:serviceaccount:{OPERATOR_NAMESPACE}:dueby-operator"]}
    policy = {"omitStages": ["RequestReceived"], "rules": [asked, {"level": "None"}]}
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **policy}
    (folder / "policies" / "audit.yaml").write_text(yaml.safe_dump(document))
    mounts = [{"hostPath": str(folder / name), "containerPath": path} for name, path in volumes.items()]
    api_server = {
        "extraArgs": {
            "audit-log-path": f"{volumes['audit']}/audit.log",
            "audit-policy-file": f"{volumes['policies']}/audit.yaml",
        },
        "extraVolumes": [{"name": name, "hostPath": path, "mountPath": path} for name, path in volumes.items()],
    }
    # The cluster doesn't outlive the tests, and a disk that images are unpacked on keeps etcd waiting for seconds.
    etcd = {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}}
    patch = yaml.safe_dump({"kind": "ClusterConfiguration", "apiServer": api_server, "etcd": etcd})
    everywhere = {"hostPath": str(shared), "containerPath": SHARED}
    lanes = [str(lane) for lane, found in enumerate(LANES) for _ in range(found.nodes)]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # In Kubernetes 1.34 and 1.35 it is off, and the API server drops what DeviceClasses say of extended resources.
        "featureGates": {"DRAExtendedResource": True},
        "nodes": [
            {"role": "control-plane", "extraMounts": [everywhere, *mounts], "kubeadmConfigPatches": [patch]},
            *({"role": "worker", "extraMounts": [everywhere], "labels": {LANE_LABEL: lane}} for lane in lanes),
        ],
    }


if __name__ == "__main__":
    shared_cluster()
