"""EfficientNet-Lite0 with the weights of its package: the only model that recognises things without a download."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import EfficientNet_B0_Weights

from dueby_api.engines import EngineName
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.eager import build
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.models.lite0 import build_lite0
from support.fresh_process import modules_after
from support.models import load, loaded, photo

NAME = "efficientnet_lite0"


@pytest.mark.parametrize(
    ("file", "labels"),
    [
        ("coffee.png", {"espresso"}),
        ("camera.png", {"tripod"}),
        ("chelsea.png", {"Egyptian cat", "tiger cat", "tabby"}),
        ("motorcycle_left.png", {"moped", "motor scooter"}),
        ("rocket.jpg", {"missile", "projectile"}),
    ],
)
def test_it_says_what_is_on_a_photo(file: str, labels: set[str]) -> None:
    model = loaded(NAME, weights="DEFAULT", image_size=224)
    engine = build(EngineRequest(loaded=model, mini_batch_size=1, precision="fp32", threads=1))

    engine.submit(photo(file, model.preprocessing))
    top = engine.collect()

    assert model.labels[top["classes"][0, 0]] in labels
    assert top["scores"][0, 0] > 0.2


def test_it_normalises_as_its_weights_were_trained() -> None:
    preprocessing = loaded(NAME, weights="DEFAULT", image_size=224).preprocessing

    assert [255 * value for value in preprocessing.mean] == pytest.approx([127] * 3)
    assert [255 * value for value in preprocessing.std] == pytest.approx([128] * 3)


@pytest.mark.parametrize("side", [32, 33, 224, 240, 301])
def test_padding_is_tensorflows_same_at_any_image_size(side: int) -> None:
    network = build_lite0(image_size=side, classes=3).eval()
    sides = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.register_forward_hook(lambda _module, _given, made: sides.append(made.shape[-1]))

    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side))

    assert sides == [-(-side // 2**halvings) for halvings in range(1, 6)]


def test_its_weights_fit_at_every_image_size() -> None:
    assert loaded(NAME, weights="DEFAULT", image_size=224).weights_digest == (
        loaded(NAME, weights="DEFAULT", image_size=201).weights_digest
    )


def test_its_labels_are_the_words_of_torchvision() -> None:
    labels = loaded(NAME, weights="DEFAULT", image_size=224).labels

    assert list(labels) == EfficientNet_B0_Weights.DEFAULT.meta["categories"]


@pytest.mark.parametrize("name", ["eager", "openvino", "ncnn"])
def test_a_worker_with_it_loads_no_torchvision_and_no_compiler(name: EngineName, tmp_path: Path) -> None:
    if name not in available_engines("fp32"):
        pytest.skip(f"{name} doesn't run here")
    script = (
        "from pathlib import Path\n"
        "import dueby_worker.steps.worker_run\n"
        "from dueby_api.inference_job import Model\n"
        "from dueby_worker.engines.build import build_engine\n"
        "from dueby_worker.models.loading import load_model\n"
        f"build_engine(name={name!r}, loaded=load_model(Model(name={NAME!r}, image_size=64)), mini_batch_size=1, "
        f"precision='fp32', threads=1, cache_dir=Path({str(tmp_path)!r}))"
    )
    # The first to build OpenVINO's engine on a machine converts the network, and the converter brings a lot.
    if name == "openvino":
        model = load(NAME, image_size=64)
        build_engine(name=name, loaded=model, mini_batch_size=1, precision="fp32", threads=1, cache_dir=tmp_path)
    assert not modules_after(script) & {"torchvision", "torch._dynamo"}
