"""Models as other libraries save them: small, random, and with outputs that tell photos apart."""

from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.models import save_for_hf
from torch import nn

from dueby_api.engines import EngineName
from dueby_worker.engines.build import build_engine
from dueby_worker.images.decode import decode_image
from dueby_worker.models.loading import LoadedModel

LABELS = ["ant", "bee", "cat", "dog", "eel"]
SIDE = 96
PHOTO = (files("skimage") / "data" / "rocket.jpg").read_bytes()


def excited(network: nn.Module, head: str) -> nn.Module:
    """Return the network with other weights than its first ones, and logits that are far apart."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor))
        weight = network.get_parameter(f"{head}.weight")
        weight.copy_(torch.randn_like(weight))
    return network.eval()


def timm_network(name: str = "test_vit", *, settings: Mapping[str, Any] | None = None, **config: Any) -> nn.Module:
    """Return a network of timm with these settings of its architecture, and this in its pretrained_cfg."""
    overlay = {"input_size": (3, SIDE, SIDE), "num_classes": len(LABELS), **config}
    size = {"img_size": SIDE} if "vit" in name else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = timm.create_model(
            name, num_classes=len(LABELS), pretrained_cfg_overlay=overlay, **size, **(settings or {})
        )
    return excited(network, network.pretrained_cfg["classifier"])


def timm_folder(folder: Path, network: nn.Module, **config: Any) -> str:
    """Save the network as timm does, and return the folder as a job gives it."""
    save_for_hf(network, folder, model_config={"label_names": LABELS, **config}, safe_serialization=True)
    return str(folder)


def hugging_face_folder(folder: Path, network: Any, processor: Any) -> str:
    """Save the network as transformers does, and return the folder as a job gives it."""
    excited(network, "classifier" if hasattr(network.classifier, "weight") else "classifier.1")
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def photo() -> Image.Image:
    """Return the photo as the other libraries' pipelines take it."""
    return Image.open(BytesIO(PHOTO)).convert("RGB")


def scores(loaded: LoadedModel, engine: EngineName) -> dict[str, float]:
    """Return what DueBy's engine says of the photo: the probability of each label."""
    built = build_engine(
        name=engine,
        loaded=loaded,
        mini_batch_size=2,
        precision="fp32",
        threads=1,
        cache_dir=None,
    )
    batch = built.buffer()
    batch[...] = decode_image(PHOTO, loaded.preprocessing).pixels
    built.submit(batch)
    top = built.collect()
    found = zip(top["classes"][1], top["scores"][1], strict=True)
    return {loaded.labels[number]: float(score) for number, score in found}
