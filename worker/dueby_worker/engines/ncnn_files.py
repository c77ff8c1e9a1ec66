"""The files that ncnn keeps a network in, opened without torch."""

from pathlib import Path
from typing import Any

from dueby_worker.engines.kept_network import damaged_network

LAYERS, WEIGHTS = "network.param", "network.bin"
"""The files of a network: its layers and their weights."""


def import_ncnn() -> Any:
    """Return the library, imported now."""
    import ncnn

    return ncnn


def open_network(folder: Path, threads: int) -> Any:
    """Return the network of the folder. Raise DueByError if its files are damaged."""
    network = import_ncnn().Net()
    options = network.opt
    options.num_threads = threads
    options.use_vulkan_compute = False
    # On ARM these are the default, and are not fp32.
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = options.use_bf16_packed = False
    if network.load_param(str(folder / LAYERS)) or network.load_model(str(folder / WEIGHTS)):
        raise damaged_network(folder)
    return network
