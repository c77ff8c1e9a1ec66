"""The files that OpenVINO keeps a network in, and the library itself, without torch."""

import sys
from typing import Any

NETWORK_FILE = "network.xml"
"""The file of a kept network that names its others."""


def import_openvino() -> Any:
    """Return the library, imported now, which tells nobody of it."""
    # On import, OpenVINO reports its use over the network if it finds the package openvino_telemetry. None in
    # sys.modules makes that package look missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def prepare_input(model: Any) -> Any:
    """Return what puts steps before the network, such as a change of its input's type."""
    from openvino.preprocess import PrePostProcessor

    return PrePostProcessor(model)
