"""The files that OpenVINO keeps a network in, and the library itself, without torch."""

import sys
from pathlib import Path
from typing import Any

from dueby_worker.engines.kept_network import damaged_network

NETWORK_FILE = "network.xml"
"""The file of a kept network that names its others."""


def import_openvino() -> Any:
    """Return the library, imported now, which tells nobody of it."""
    # On import, OpenVINO reports its use over the network if it finds the package openvino_telemetry. None in
    # sys.modules makes that package look missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def read_network(core: Any, folder: Path) -> Any:
    """Return the network of the folder. Raise DueByError if its files are damaged."""
    try:
        return core.read_model(folder / NETWORK_FILE)
    except RuntimeError as error:
        raise damaged_network(folder) from error


def prepare_input(model: Any) -> Any:
    """Return what puts steps before the network, such as a change of its input's type."""
    from openvino.preprocess import PrePostProcessor

    return PrePostProcessor(model)
