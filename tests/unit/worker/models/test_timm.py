"""timm's models: they answer as timm's own pipeline does, and what can't be done exactly is refused."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config
from torch import nn

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_profiler.monitor.warmup_rows import weigh
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.parity import check_parity
from dueby_worker.models.loading import describe_model, load_model
from support.foreign_models import LABELS, SIDE, photo, scores, timm_folder, timm_network
from support.models import written


def timm_scores(network: nn.Module) -> dict[str, float]:
    """What timm itself says of the photo."""
    transform = create_transform(**resolve_data_config({}, model=network))
    with torch.inference_mode():
        found = network(transform(photo())[None]).softmax(dim=1)[0]
    return dict(zip(LABELS, found.tolist(), strict=True))


def refusal(**fields: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        load_model(Model(**fields))
    return refused.value.field, refused.value.message


@pytest.mark.parametrize(
    ("name", "config"),
    [
        pytest.param("test_resnet", {"crop_pct": 0.8, "interpolation": "bilinear"}, id="a network whose norms fold"),
        pytest.param(
            "test_vit", {"crop_pct": 0.9, "mean": (0.5,) * 3, "std": (0.5,) * 3}, id="one that fx can't trace"
        ),
        pytest.param("test_vit", {"crop_pct": 0.95, "crop_mode": "squash"}, id="the whole image as a square"),
    ],
)
@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_a_folder_answers_as_timm_does(tmp_path: Path, engine: EngineName, name: str, config: dict[str, Any]) -> None:
    network = timm_network(name, **config)
    loaded = load_model(Model(name=f"timm/{name}", weights=timm_folder(tmp_path, network), image_size=SIDE))

    found, expected = scores(loaded, engine), timm_scores(network)

    assert loaded.labels == tuple(LABELS)
    # The resize differs from Pillow's by at most 1 of 255.
    assert found == pytest.approx(expected, abs=0.02)
    assert max(expected.values()) - min(expected.values()) > 0.2


def test_the_digest_changes_with_the_architecture_s_settings_and_not_with_the_folder(tmp_path: Path) -> None:
    def digest_of(folder: Path) -> str:
        return load_model(Model(name="timm/test_vit", weights=str(folder), image_size=SIDE)).weights_digest

    first, copy, other = (tmp_path / name for name in ("first", "copy", "other"))
    timm_folder(first, timm_network())
    for folder in (copy, other):
        shutil.copytree(first, folder)
    config = json.loads((other / "config.json").read_text())
    config["model_args"] = config.get("model_args", {}) | {"num_heads": 1}
    (other / "config.json").write_text(json.dumps(config))

    assert digest_of(copy) == digest_of(first)
    assert digest_of(other) != digest_of(first)


def test_a_file_of_weights_takes_the_name_s_preprocessing(tmp_path: Path) -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    file = written(tmp_path / "a.pth", network.state_dict())

    loaded = load_model(Model(name="timm/test_resnet", weights=file, image_size=160, classes=3))

    assert loaded.labels == ("0", "1", "2")
    assert (loaded.preprocessing.resize_side, loaded.preprocessing.crop_side) == (168, 160)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], tensor)


@pytest.mark.parametrize("engine", ["eager", "openvino"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("test_vit", {}, id="test_vit"),
        pytest.param(
            "swin_tiny_patch4_window7_224",
            {"img_size": SIDE, "window_size": 3, "embed_dim": 16, "depths": (2, 2), "num_heads": (1, 2)},
            id="five dimensions",
        ),
    ],
)
def test_engines_agree_with_plain_fp32(engine: EngineName, name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = timm_folder(tmp_path, timm_network(name, settings=settings), model_args=settings)
    loaded = load_model(Model(name=f"timm/{name}", weights=folder, image_size=SIDE))
    built = build_engine(name=engine, loaded=loaded, mini_batch_size=3, precision="fp32", threads=1, cache_dir=None)

    parity = check_parity(built, loaded)

    assert parity.ok, parity.sentence


@pytest.mark.parametrize(
    ("name", "labels", "last"),
    [
        pytest.param("resnet18", 1000, "toilet tissue", id="ImageNet's, as torchvision calls them"),
        pytest.param("vit_tiny_patch16_224.augreg_in21k", 21843, "organism, being", id="ImageNet-21k's"),
    ],
)
def test_labels_are_those_that_the_weights_were_trained_for(name: str, labels: int, last: str) -> None:
    facts = describe_model(Model(name=f"timm/{name}"))

    assert len(facts.labels) == labels
    assert last in facts.labels


def test_a_tag_chooses_weights_in_the_name_or_in_the_manifest() -> None:
    in_name = describe_model(Model(name="timm/resnet18.tv_in1k"))
    in_weights = describe_model(Model(name="timm/resnet18", weights="tv_in1k"))

    assert in_name.preprocessing == in_weights.preprocessing
    assert in_name.preprocessing != describe_model(Model(name="timm/resnet18")).preprocessing


def test_how_heavy_a_model_is_can_be_counted() -> None:
    weight = weigh(Model(name="timm/test_vit", weights="none", image_size=160))

    assert weight.parameters == sum(p.numel() for p in timm.create_model("test_vit").parameters())
    assert weight.image_flops > 2 * weight.parameters


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        pytest.param({"name": "timm/resnet19"}, "spec.model.name", "did you mean resnet18", id="a name nearly right"),
        pytest.param({"name": "timm/resnet18.a9"}, "spec.model.name", "it has a1_in1k, ", id="a tag that isn't"),
        pytest.param({"name": "timm/resnet18", "weights": "a9"}, "spec.model.weights", "a1_in1k", id="weights neither"),
        pytest.param(
            {"name": "timm/test_vit", "image_size": 224}, "spec.model.imageSize", "set 160", id="another size"
        ),
        pytest.param(
            {"name": "timm/vit_small_patch14_dinov2", "image_size": 518, "weights": "none"},
            "spec.model.classes",
            "no classes of its own",
            id="a network without classes",
        ),
    ],
)
def test_what_timm_does_not_have_is_refused(fields: dict[str, Any], field: str, words: str) -> None:
    found = refusal(**fields)

    assert found[0] == field
    assert words in found[1]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({"crop_mode": "border"}, "crop_mode border", id="borders"),
        pytest.param({"interpolation": "lanczos"}, "with lanczos", id="a filter that torch has not"),
        pytest.param({"crop_pct": 1.15}, "crops 96 px out of 83 (crop_pct 1.15)", id="an edge of black"),
    ],
)
def test_preprocessing_that_can_not_be_done_exactly_is_refused(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    folder = timm_folder(tmp_path, timm_network(**config))

    assert words in refusal(name="timm/test_vit", weights=folder, image_size=SIDE)[1]


CLIP = "timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"


@pytest.mark.parametrize("kind", ["TopK", "Probabilities"])
def test_a_network_whose_last_layer_makes_an_embedding_is_no_classifier(kind: Any) -> None:
    with pytest.raises(
        Invalid, match=r"the 512 values of .*clip.* are an embedding, and not of classes; set Embedding"
    ):
        load_model(Model(name=CLIP, weights="none"), Output(kind=kind))


def test_the_embedding_of_such_a_network_is_what_its_last_layer_makes() -> None:
    loaded = load_model(Model(name=CLIP, weights="none"), Output(kind="Embedding"))

    assert loaded.values == 512
    assert loaded.module(torch.zeros(1, 3, 224, 224)).shape == (1, 512)


def test_such_a_network_with_classes_of_one_s_own_is_a_classifier(tmp_path: Path) -> None:
    network = timm.create_model(CLIP.removeprefix("timm/"), num_classes=3)
    file = written(tmp_path / "a.pth", network.state_dict())

    assert load_model(Model(name=CLIP, weights=file, classes=3)).labels == ("0", "1", "2")


def test_the_size_of_timm_s_tables_has_its_own_crop_and_no_warning() -> None:
    name = "timm/convnext_base.fb_in1k"
    trained, tested, other = (describe_model(Model(name=name, image_size=side)) for side in (224, 288, 256))

    assert [facts.preprocessing.resize_side for facts in (trained, tested, other)] == [256, 288, 293]
    assert not trained.warnings
    assert not tested.warnings
    assert "was trained for 224 px" in other.warnings[0]


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = timm_folder(tmp_path, timm_network())

    field, message = refusal(name="timm/test_vit2", weights=folder, image_size=SIDE)
    assert (field, "holds a test_vit, not a test_vit2" in message) == ("spec.model.weights", True)

    (tmp_path / "model.safetensors").unlink()
    assert "holds no weights" in refusal(name="timm/test_vit", weights=folder, image_size=SIDE)[1]

    (tmp_path / "config.json").write_text(json.dumps({"architecture": "no_such"}))
    assert "can't be read as a model of timm" in refusal(name="timm/test_vit", weights=folder, image_size=SIDE)[1]


def test_a_model_without_published_weights_says_what_to_give() -> None:
    field, message = refusal(name="timm/ghostnet_050")

    assert field == "spec.model.weights"
    assert "timm publishes no weights of ghostnet_050" in message
    assert "give the path of a file, a folder, or none" in message


def test_without_the_library_its_models_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Python does for a library that isn't there.
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "dueby_worker.models.timm_models", raising=False)

    field, message = refusal(name="timm/resnet18")

    assert field == "spec.model.name"
    assert "needs timm, which is not installed: pip install 'dueby[timm]'" in message
