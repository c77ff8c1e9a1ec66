"""ncnn's form of a network: two files that pnnx writes, kept in the cache folder.

pnnx is a program of its own. It takes what PyTorch has traced, for one image of one size. That takes seconds, and 20 of
them for VGG's weights, so the files are kept under a name that changes with everything that they depend on.
"""

import logging
import shutil
import subprocess
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dueby_api.errors import Invalid, first_line
from dueby_worker.engines.cache import cache_name, keep_folder
from dueby_worker.engines.ncnn_files import LAYERS, WEIGHTS, import_ncnn, open_network
from dueby_worker.engines.network import quiet_tracing
from dueby_worker.models.loading import LoadedModel
from dueby_worker.system.temporary_files import scratch_folder

log = logging.getLogger(__name__)

# The first two lines of the file of layers are a magic number and how many layers there are.
_HEAD_LINES = 2
# Of torchvision's networks VGG takes longest, 20 to 30 s on one core.
_MAX_CONVERTING_S = 120


def network_of(loaded: LoadedModel, *, threads: int, cache_dir: Path | None) -> Any:
    """Return the network, by way of the cache folder if there is one and it can be kept there."""
    if cache_dir is not None:
        entry = entry_of(loaded, cache_dir)
        try:
            if not entry.exists():
                keep_folder(entry, partial(convert, loaded))
            return open_network(entry, threads)
        except OSError as error:
            log.warning("the converted network can't be kept in %s: %s", cache_dir, error.strerror)
    with scratch_folder("network") as folder:
        convert(loaded, folder)
        return open_network(folder, threads)


def convert(loaded: LoadedModel, folder: Path) -> None:
    """Write the network for one image as ncnn reads it: two files in the folder.

    Raise Invalid if PyTorch can't trace it, pnnx can't convert it, or ncnn lacks a layer of it.
    """
    side = loaded.preprocessing.crop_side
    with scratch_folder("converting") as workplace:
        traced = workplace / "network.pt"
        with quiet_tracing(), torch.no_grad():
            try:
                network = torch.jit.trace(  # type: ignore[no-untyped-call]
                    loaded.module.eval(), torch.zeros(1, 3, side, side), check_trace=False
                )
                network.save(str(traced))
            # Of people's own networks the tracer raises anything.
            except Exception as error:
                raise _refusal(loaded, f"PyTorch can't trace it: {first_line(error)}") from None
        layers, weights = workplace / LAYERS, workplace / WEIGHTS
        _run_pnnx(loaded, traced, f"inputshape=[1,3,{side},{side}]", f"ncnnparam={layers}", f"ncnnbin={weights}")
        _require_layers(loaded, layers)
        # Not written there by pnnx, which doesn't tell a full disk from a network that it can't convert.
        for file in (layers, weights):
            shutil.move(file, folder / file.name)


def _run_pnnx(loaded: LoadedModel, traced: Path, *options: str) -> None:
    import pnnx

    # Without fp16=0 it halves the weights' precision.
    command = [pnnx.EXEC_PATH, str(traced), *options, "fp16=0"]
    try:
        done = subprocess.run(
            command,
            cwd=traced.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MAX_CONVERTING_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(loaded, f"pnnx was not done after {_MAX_CONVERTING_S} s") from None
    if done.returncode:
        raise _refusal(loaded, f"pnnx ended with exit code {done.returncode}")


def _require_layers(loaded: LoadedModel, layers: Path) -> None:
    """Raise Invalid if ncnn lacks a kind of layer, as pnnx leaves them where it knows no way to write them."""
    kinds = {line.split()[0] for line in layers.read_text().splitlines()[_HEAD_LINES:] if line.strip()}
    lacking = sorted(kind for kind in kinds if import_ncnn().layer_to_index(kind) < 0)
    if lacking:
        raise _refusal(loaded, f"there is no layer {' or '.join(lacking)} in ncnn")


def _refusal(loaded: LoadedModel, reason: str) -> Invalid:
    return Invalid("spec.model.engine", f"ncnn can't take {loaded.name}: {reason}; use the engine openvino or eager")


def network_key(loaded: LoadedModel) -> str:
    """Return a name that changes with everything that the converted network depends on."""
    return cache_name(
        loaded,
        side=loaded.preprocessing.crop_side,
        versions=[version(library) for library in ("ncnn", "pnnx", "torch", "torchvision")],
    )


def entry_of(loaded: LoadedModel, cache_dir: Path) -> Path:
    """Return the folder in which the converted network is kept."""
    return cache_dir / "ncnn" / network_key(loaded)
