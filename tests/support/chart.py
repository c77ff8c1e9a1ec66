"""What the chart renders, without a cluster."""

from typing import Any

import yaml

from support.cluster import CHART, CPU_VALUES, OPERATOR_NAMESPACE, call

# Which API there is; helm by itself supposes one that is too old for the chart.
KUBERNETES = "1.34.0"
# The values for clusters without GPUs.
WITHOUT_GPUS: dict[str, Any] = yaml.safe_load(CPU_VALUES.read_text())
Document = dict[str, Any]


def rendered(**values: Any) -> list[Document]:
    """Return the documents of a release with these values, hooks among them."""
    command = ("helm", "template", "dueby", str(CHART), "--namespace", OPERATOR_NAMESPACE, "--values", "-")
    text = call(*command, "--kube-version", KUBERNETES, stdin=yaml.safe_dump(values))
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[Document], kind: str) -> dict[tuple[str, str], Document]:
    """Return the documents of the kind by namespace, empty where it is the release's own or none, and name."""
    return {
        (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in documents
        if each["kind"] == kind
    }
