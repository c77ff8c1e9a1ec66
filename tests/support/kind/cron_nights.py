"""The CronJob of the documentation, made ready for the tests' cluster, whose nights come when a test says so."""

import shutil
from typing import Any

import yaml

from support.kind.cluster import SHARED, Cluster
from support.kind.images import REPOSITORY, WORKER_IMAGE

MANIFEST = REPOSITORY / "examples" / "nightly" / "cron-job.yaml"
NAME = "photos-nightly"


class CronNights:
    """The CronJob in the cluster's namespace."""

    def __init__(self, cluster: Cluster, **spec: Any) -> None:
        """Apply it as it is, but for what its job's `spec` has of its own and where its pods are."""
        self._cluster = cluster
        self._programs = cluster.shared / cluster.namespace / "programs"
        self._programs.mkdir(parents=True)
        # Its image can't be fetched here: ours has a shell, and this machine a kubectl that needs nothing else.
        kubectl = shutil.which("kubectl")
        assert kubectl is not None
        shutil.copy(kubectl, self._programs / "kubectl")
        self._map, self._cron, *rights = yaml.safe_load_all(MANIFEST.read_text())
        self.change_job(**spec)
        # At one o'clock, too, nothing starts by itself.
        self._cron["spec"]["suspend"] = True
        pod = self._cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        pod["nodeSelector"] = cluster.node_selector
        pod["volumes"].append({"name": "programs", "hostPath": {"path": f"{SHARED}/{cluster.namespace}/programs"}})
        (container,) = pod["containers"]
        container["image"] = WORKER_IMAGE
        container["volumeMounts"].append({"name": "programs", "mountPath": "/usr/local/bin", "readOnly": True})
        cluster.apply(self._cron, *rights)

    def change_job(self, **spec: Any) -> None:
        """Change fields of the spec of the job in the ConfigMap, as an administrator does."""
        job = yaml.safe_load(self._map["data"]["job.yaml"])
        job["spec"] |= spec
        self._map["data"]["job.yaml"] = yaml.safe_dump(job)
        self._cluster.apply(self._map)

    def start(self, night: int, *, attempt: int = 1) -> str:
        """Have the CronJob's pod run in this night of December; return the name of the InferenceJob of the night."""
        date = f"2026-12-{night:02}"
        # `date` of the pod, by whose answer the job is named.
        program = self._programs / "date"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '-u +%Y-%m-%d' ] && echo {date}\n")
        program.chmod(0o755)
        run = f"night-{night}-{attempt}"
        self._cluster.kubectl("create", "job", f"--from=cronjob/{NAME}", run)
        self._cluster.kubectl("wait", f"job/{run}", "--for=condition=complete", "--timeout=300s")
        return f"photos-{date}"
