"""What the chart renders, without a cluster."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from support.kind.cluster import CHART, CPU_VALUES, OPERATOR_NAMESPACE, call

# Which API there is; helm by itself supposes one that is too old for the chart.
KUBERNETES = "1.34.0"
# The values for clusters without GPUs.
WITHOUT_GPUS: dict[str, Any] = yaml.safe_load(CPU_VALUES.read_text())
Document = dict[str, Any]


def rendered(chart: Path = CHART, **values: Any) -> list[Document]:
    """Return the documents of a release with these values, hooks among them."""
    command = ("helm", "template", "dueby", str(chart), "--namespace", OPERATOR_NAMESPACE, "--values", "-")
    text = call(*command, "--kube-version", KUBERNETES, stdin=yaml.safe_dump(values))
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def rendered_with_notes(folder: Path, **values: Any) -> tuple[str, list[Document]]:
    """Return what helm prints after an installation with these values, and the documents that it installs.

    `helm template` leaves the notes out, and `helm install --dry-run` asks a cluster. So a copy of the chart in the
    folder has a template that renders them.
    """
    chart = shutil.copytree(CHART, folder / "chart")
    (chart / "templates" / "NOTES.txt").rename(chart / "files" / "NOTES.txt")
    notes = 'kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}\n'
    (chart / "templates" / "notes.yaml").write_text(notes)
    documents = rendered(chart, **values)
    (made,) = of_kind(documents, "Notes").values()
    return made["text"], documents


def of_kind(documents: list[Document], kind: str) -> dict[tuple[str, str], Document]:
    """Return the documents of the kind by namespace, empty where it is the release's own or none, and name."""
    return {
        (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in documents
        if each["kind"] == kind
    }


def options(documents: list[Document]) -> dict[str, str]:
    """What the operator is told, by the options' names."""
    (deployment,) = of_kind(documents, "Deployment").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {name: value for name, _, value in (word.partition("=") for word in container["args"])}
