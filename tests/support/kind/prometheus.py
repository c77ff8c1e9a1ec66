"""A real Prometheus beside the tests' cluster, told to scrape what the chart's monitors tell the Prometheus operator.

It finds operator and workers through the API server, and reaches them through its proxy, since from outside a cluster
there is no other way to a pod's address.
"""

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.kind.cluster import CHART, OPERATOR_NAMESPACE, Cluster, call
from support.kind.kube_api import write_certificates

SCRAPE_EVERY = "1s"
# What Grafana puts in the place of its variables.
GRAFANA = {"$__rate_interval": "30s", "$__range": "5m", "$inferencejob": ".*"}


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """One that runs."""

    url: str
    namespace: str
    """The namespace of the jobs that the queries are about."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result's series, as Grafana would ask for them."""
        for variable, value in {**GRAFANA, "$namespace": self.namespace}.items():
            expression = expression.replace(variable, value)
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def label_values(self, metric: str, label: str) -> list[str]:
        """The label's values."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": metric})
        return found

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, page: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{page}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]


@contextmanager
def prometheus_beside(cluster: Cluster, folder: Path) -> Iterator[Prometheus]:
    """One that scrapes the cluster's operator and workers."""
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(_configuration(cluster, folder)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            made = Prometheus(url=f"http://127.0.0.1:{port}", namespace=cluster.namespace)

            def is_there() -> bool:
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                return made.is_up()

            cluster.wait(is_there, "Prometheus is up")
            yield made
        finally:
            process.terminate()


def _configuration(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Its configuration, from the chart's monitors."""
    settings = ("--set", "serviceMonitor.enabled=true", "--set", "podMonitor.enabled=true")
    rendered = call("helm", "template", "dueby", str(CHART), "--kube-version", "1.34.0", *settings)
    made = {document["kind"]: document for document in yaml.safe_load_all(rendered) if document}
    service, pod = made["ServiceMonitor"]["spec"], made["PodMonitor"]["spec"]
    return {
        "global": {"scrape_interval": SCRAPE_EVERY, "scrape_timeout": SCRAPE_EVERY},
        "scrape_configs": [
            _scrape(cluster, folder, "operator", "service", service["selector"], service["endpoints"][0]),
            _scrape(cluster, folder, "workers", "pod", pod["selector"], pod["podMetricsEndpoints"][0]),
        ],
    }


# By what a monitor selects by: what Prometheus looks for, and how it calls the port's name.
ROLES = {
    "service": ("endpoints", "__meta_kubernetes_endpoint_port_name"),
    "pod": ("pod", "__meta_kubernetes_pod_container_port_name"),
}


def _scrape(
    cluster: Cluster, folder: Path, name: str, kind: str, selector: Mapping[str, Any], endpoint: Mapping[str, Any]
) -> dict[str, Any]:
    """A monitor's endpoint in Prometheus' own words, through the API server."""
    role, port_name = ROLES[kind]
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    namespace, pod = "__meta_kubernetes_namespace", "__meta_kubernetes_pod_name"
    kept = {f"__meta_kubernetes_{kind}_label_{_word(key)}": value for key, value in selector["matchLabels"].items()}
    kept[port_name] = endpoint["port"]
    proxied = f"/api/v1/namespaces/$1/pods/$2:$3/proxy{endpoint['path']}"
    return {
        "job_name": name,
        "scheme": "https",
        "honor_labels": endpoint.get("honorLabels", False),
        "tls_config": write_certificates(config, folder),
        "kubernetes_sd_configs": [
            {
                "role": role,
                "kubeconfig_file": str(cluster.kubeconfig),
                "namespaces": {"names": [OPERATOR_NAMESPACE, cluster.namespace]},
            }
        ],
        "relabel_configs": [
            *({"source_labels": [label], "regex": value, "action": "keep"} for label, value in kept.items()),
            # These two the Prometheus operator adds to every endpoint.
            {"source_labels": [namespace], "target_label": "namespace"},
            {"source_labels": [pod], "target_label": "pod"},
            *({_snake(key): value for key, value in rule.items()} for rule in endpoint.get("relabelings", ())),
            {"source_labels": [pod], "target_label": "instance"},
            {
                "source_labels": [namespace, pod, "__address__"],
                "regex": r"(.+);(.+);.*:(\d+)",
                "replacement": proxied,
                "target_label": "__metrics_path__",
            },
            {"target_label": "__address__", "replacement": urllib.parse.urlsplit(server["server"]).netloc},
        ],
    }


def _word(label: str) -> str:
    """A Kubernetes label as Prometheus calls it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def _snake(name: str) -> str:
    """sourceLabels: source_labels."""
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
