"""The pixels that a model sees are those of its authors' own pipeline, for every preset that a library publishes."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision.models
import transformers
from numpy.typing import NDArray
from PIL import Image, ImageOps
from timm.data import create_transform, resolve_data_config
from timm.models import get_arch_pretrained_cfgs

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.images.decode import decode_image
from dueby_worker.models.loading import describe_model
from support.pictures import encode, exif, photo

Floats = NDArray[np.float32]
# Makes of a picture what the network gets, (3, side, side).
Pipeline = Callable[[Image.Image], Any]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file, and how far from a library's pixels DueBy's may be, of 255."""

    data: bytes
    most: float = 2
    mean: float = 0.2

    @property
    @cache  # noqa: B019  # there are a dozen
    def opened(self) -> Image.Image:
        """The picture as the libraries' examples open it, and turned upright as DueBy does."""
        with Image.open(io.BytesIO(self.data)) as opened:
            return ImageOps.exif_transpose(opened)


def faded(picture: Image.Image) -> Image.Image:
    """Return the picture fading out from left to right."""
    picture = picture.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").rotate(90).resize(picture.size))
    return picture


@cache
def shapes() -> dict[str, Picture]:
    """Return pictures of shapes and sizes that are each prepared in another way."""
    return {
        "wide": Picture(data=encode(photo(), "PNG")),
        "high": Picture(data=encode(photo(size=(300, 451)), "PNG")),
        "smaller than the model's": Picture(data=encode(photo(size=(61, 90)), "PNG")),
        "large": Picture(data=encode(photo("astronaut", size=(801, 600)), "PNG")),
        "a panorama": Picture(data=encode(photo(size=(1500, 60)), "PNG")),
        "a JPEG that is reduced while it is decoded": Picture(
            data=encode(photo("astronaut", size=(2400, 2400)), "JPEG", quality=90), most=12, mean=0.5
        ),
    }


@cache
def kinds() -> dict[str, Picture]:
    """Return pictures of each kind of file, all of one shape."""
    return {
        "grey": Picture(data=encode(photo().convert("L"), "PNG")),
        "a palette": Picture(data=encode(photo().quantize(16), "PNG")),
        "transparent": Picture(data=encode(faded(photo()), "PNG")),
        "a transparent palette": Picture(data=encode(photo().quantize(16), "PNG", transparency=bytes(range(16)))),
        "a lossless WebP": Picture(data=encode(photo(), "WEBP", lossless=True)),
        "a JPEG": Picture(data=encode(photo(), "JPEG", quality=95), most=3, mean=0.3),
        "a turned JPEG": Picture(data=encode(photo(), "JPEG", quality=95, exif=exif(6)), most=3, mean=0.3),
    }


def require_same_pixels(
    model: Model, pipeline: Pipeline, pictures: Mapping[str, Picture], *, drops_alpha: bool = True
) -> None:
    facts = describe_model(model)
    ours = facts.preprocessing
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (ours.mean, ours.std))
    wrong = {}
    for name, picture in pictures.items():
        pixels = decode_image(picture.data, ours).pixels.transpose(2, 0, 1)
        opened = picture.opened.convert("RGB") if drops_alpha else picture.opened
        theirs = np.asarray(pipeline(opened), np.float32)
        difference = np.abs(pixels - (theirs * std + mean) * 255).round(3)
        if difference.max() > picture.most or difference.mean() > picture.mean:
            wrong[name] = float(difference.max()), float(difference.mean())
    assert not wrong
    assert not any("imageSize" in warning for warning in facts.warnings)


def torchvision_presets() -> Iterator[tuple[str, str]]:
    """Yield a model and weights for each different preset."""
    seen = set[str]()
    for name in torchvision.models.list_models(module=torchvision.models):
        for weights in torchvision.models.get_model_weights(name):
            if weights.meta["categories"] and (shown := str(weights.transforms())) not in seen:
                seen.add(shown)
                yield name, weights.name


@pytest.mark.parametrize(("name", "weights"), list(torchvision_presets()))
def test_torchvision_s_preset(name: str, weights: str) -> None:
    preset = torchvision.models.get_model_weights(name)[weights].transforms()

    require_same_pixels(Model(name=name, weights=weights, image_size=preset.crop_size[0]), preset, shapes() | kinds())


def timm_configurations() -> Iterator[tuple[str, bool]]:
    """Yield a tag for each different preparation, at the size of its training, and of its test if that is another."""
    seen = set[str]()
    for architecture in timm.list_models():
        for tag, published in get_arch_pretrained_cfgs(architecture).items():
            config = published.to_dict()
            if not config["num_classes"]:
                continue
            for use_test_size in (False, *([True] if config.get("test_input_size") else [])):
                data = resolve_data_config({}, pretrained_cfg=config, use_test_size=use_test_size)
                colours = str((data.pop("mean"), data.pop("std")))
                if not {colours, shape := f"{use_test_size} {data}"} <= seen:
                    seen |= {colours, shape}
                    yield tag, use_test_size


@pytest.mark.parametrize(("tag", "use_test_size"), list(timm_configurations()))
def test_timm_s_transform(tag: str, use_test_size: bool) -> None:
    config = timm.get_pretrained_cfg(tag).to_dict()
    data = resolve_data_config({}, pretrained_cfg=config, use_test_size=use_test_size)
    model = Model(name=f"timm/{tag}", image_size=data["input_size"][1])
    if data["crop_pct"] > 1 or data["crop_mode"] == "border":
        with pytest.raises(Invalid):
            describe_model(model)
        return

    require_same_pixels(model, create_transform(**data), shapes())


PROCESSORS: dict[str, dict[str, Any]] = {
    "ViT": {},
    "ViT bilinear without a mean": {"do_normalize": False, "resample": 2},
    "DeiT": {},
    "Beit": {"do_center_crop": True, "size": {"height": 256, "width": 256}},
    "Bit": {},
    "CLIP": {},
    "CLIP of an odd size": {"size": {"shortest_edge": 237}},
    "Siglip": {},
    "Siglip of 384": {"size": {"height": 384, "width": 384}},
    "MobileNetV1": {},
    "MobileNetV2": {},
    "Pvt": {},
    "Segformer": {},
    "ConvNext": {"size": {"shortest_edge": 224}},
    "ConvNext of 384": {},
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_transformers_processor(tmp_path: Path, case: str) -> None:
    processor = getattr(transformers, f"{case.partition(' ')[0]}ImageProcessor")(**PROCESSORS[case])
    processor.save_pretrained(tmp_path)
    transformers.ViTConfig(architectures=["ViTForImageClassification"]).save_pretrained(tmp_path)
    side = (processor.crop_size if processor.do_center_crop else processor.size).get("height", 224)
    if case == "ConvNext of 384":
        side = 384

    def pipeline(picture: Image.Image) -> torch.Tensor:
        return processor(picture, return_tensors="pt")["pixel_values"][0]  # type: ignore[no-any-return]

    require_same_pixels(
        Model(name="hf/mine", weights=str(tmp_path), image_size=side),
        pipeline,
        shapes() | kinds(),
        # The others take pictures without transparency only, as transformers' own pipeline makes them.
        drops_alpha=not processor.do_convert_rgb,
    )
