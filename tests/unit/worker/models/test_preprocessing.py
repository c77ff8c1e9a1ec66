"""Preprocessing is the model's own, and follows the image size."""

import json
from dataclasses import replace

import pytest
import torchvision.models

from dueby_api.inference_job import Model
from dueby_worker.images.geometry import plan_cut
from dueby_worker.models.loading import describe_model
from dueby_worker.models.preprocessing import Preprocessing

CLASSIFIERS = torchvision.models.list_models(module=torchvision.models)


def preprocessing(resize_side: int = 256, crop_side: int = 224) -> Preprocessing:
    return Preprocessing(
        resize_side=resize_side,
        crop_side=crop_side,
        interpolation="bicubic",
        antialias=True,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_model_of_torchvision_has_torchvisions_preset(name: str) -> None:
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()

    ours = describe_model(Model(name=name, image_size=preset.crop_size[0])).preprocessing

    assert [ours.resize_side] == preset.resize_size
    assert [ours.crop_side] == preset.crop_size
    assert ours.interpolation == preset.interpolation.value
    assert ours.antialias == preset.antialias
    assert (list(ours.mean), list(ours.std)) == (preset.mean, preset.std)


@pytest.mark.parametrize(
    ("before", "side", "after"),
    [
        pytest.param((256, 224), 224, (256, 224), id="its own size changes nothing"),
        pytest.param((256, 224), 320, (366, 320), id="a larger one sees the same part of the picture"),
        pytest.param((256, 224), 128, (146, 128), id="a smaller one too"),
        pytest.param((224, 224), 300, (300, 300), id="what is not cropped stays so"),
        pytest.param((232, 224), 32, (33, 32), id="the least size still has a margin"),
    ],
)
def test_the_resize_follows_the_image_size(before: tuple[int, int], side: int, after: tuple[int, int]) -> None:
    scaled = preprocessing(*before).scaled_to(side)

    assert (scaled.resize_side, scaled.crop_side) == after


def test_nothing_else_follows_the_image_size() -> None:
    assert preprocessing().scaled_to(448).scaled_to(224) == preprocessing()


def test_its_document_is_plain_data_with_every_field() -> None:
    document = preprocessing().document()

    assert json.loads(json.dumps(document)) == {
        "resize_side": 256,
        "crop_side": 224,
        "interpolation": "bicubic",
        "antialias": True,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }


def test_weights_may_have_a_preset_of_their_own() -> None:
    first, second = (describe_model(Model(name="resnet50", weights=f"IMAGENET1K_V{n}")).preprocessing for n in (1, 2))

    assert (first.resize_side, second.resize_side) == (256, 232)


def test_a_stretched_image_loses_nothing_but_its_proportions() -> None:
    cut = plan_cut(640, 427, 1, replace(preprocessing(), stretches=True))

    assert (cut.width, cut.height, cut.left, cut.top) == (256, 256, 16, 16)


def test_half_a_pixel_before_the_crop_is_rounded_as_the_library_rounds_it() -> None:
    ours = preprocessing(123, 96)

    assert plan_cut(640, 427, 1, ours).top == 14
    assert plan_cut(640, 427, 1, replace(ours, floors=True)).top == 13


def test_what_torchvision_s_models_do_not_do_is_not_in_the_fingerprint_of_their_jobs() -> None:
    ours = preprocessing()

    assert not {"stretches", "floors"} & ours.document().keys()
    assert replace(ours, stretches=True).document()["stretches"] is True
    assert replace(ours, floors=True).document()["floors"] is True


def test_other_pixels_of_a_resize_without_averaging_are_another_fingerprint() -> None:
    assert "revision" not in preprocessing().document()
    for plain in (replace(preprocessing(), antialias=False), replace(preprocessing(), interpolation="nearest")):
        assert plain.document()["revision"] == 2
