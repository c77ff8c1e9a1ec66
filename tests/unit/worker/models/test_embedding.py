"""A network that is cut at a layer gives what the layer gives in the whole network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import MAX_VALUES, Output
from dueby_worker.models.embedding import cut_network
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.registry import find_entry
from support.models import load, noise

SIDE = 64
# One network of each family of torchvision's, at a size that it takes.
FAMILIES = {
    **dict.fromkeys(["alexnet", "vgg11", "squeezenet1_0", "densenet121", "resnet18", "mnasnet0_5"], 64),
    **dict.fromkeys(["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf"], 64),
    **dict.fromkeys(["shufflenet_v2_x0_5", "convnext_tiny", "swin_t", "swin_v2_t", "efficientnet_lite0"], 64),
    **dict.fromkeys(["googlenet", "vit_b_32", "maxvit_t"], 224),
    "inception_v3": 299,
}
CLASSES = 7


def images() -> torch.Tensor:
    return torch.from_numpy(noise(2, SIDE)).permute(0, 3, 1, 2) / 255


def embed(name: str, **output: Any) -> LoadedModel:
    return load_model(Model(name=name, weights="none", image_size=SIDE), Output(kind="Embedding", **output))


def seen_at(name: str, layer: str, *, is_input: bool = False) -> torch.Tensor:
    """What goes into the layer of the whole network, or comes out of it, for two images."""
    module = load(name, image_size=SIDE, weights="none").module
    seen: list[torch.Tensor] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append(inputs[0] if is_input else output)

    module.get_submodule(layer).register_forward_hook(look)
    with torch.inference_mode():
        module(images())
    return seen[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_networks_has_a_last_layer_to_leave_out(name: str) -> None:
    side = FAMILIES[name]
    module = find_entry(Model(name=name, weights="none")).build(image_size=side, classes=CLASSES, trained=False).eval()
    assert module(torch.zeros(2, 3, side, side)).shape == (2, CLASSES)
    cut, values = cut_network(module, None, side=side)
    assert cut(torch.zeros(2, 3, side, side)).shape == (2, values)
    assert values > CLASSES


@pytest.mark.parametrize(
    ("name", "head", "values"),
    [
        ("resnet18", "fc", 512),
        ("mobilenet_v3_small", "classifier.3", 1024),
        ("efficientnet_lite0", "classifier", 1280),
        ("squeezenet1_1", "classifier.1", 512),
    ],
)
def test_by_default_it_is_what_goes_into_the_last_layer(name: str, head: str, values: int) -> None:
    model = embed(name)
    with torch.inference_mode():
        found = model.module(images())
    expected = seen_at(name, head, is_input=True)
    assert (model.values, found.shape) == (values, (2, values))
    # SqueezeNet tells classes apart place by place, and averages afterwards.
    torch.testing.assert_close(found, expected.flatten(2).mean(2) if expected.dim() > 2 else expected)


@pytest.mark.parametrize(
    ("name", "layer", "values"),
    [
        pytest.param("resnet18", "layer2", 128, id="a block, whose map is averaged"),
        pytest.param("resnet18", "layer4.1.conv2", 512, id="a layer in a block"),
        pytest.param("resnet18", "fc", 1000, id="the last layer: a vector as it is"),
        pytest.param("mobilenet_v3_small", "features.4", 40, id="a block by its number"),
    ],
)
def test_a_layer_is_named_as_torchvision_names_it(name: str, layer: str, values: int) -> None:
    model = embed(name, layer=layer)
    with torch.inference_mode():
        found = model.module(images())
    expected = seen_at(name, layer)
    assert (model.values, found.shape) == (values, (2, values))
    torch.testing.assert_close(found, expected.mean((2, 3)) if expected.dim() > 2 else expected)


@pytest.mark.parametrize(
    ("name", "layer", "sentence"),
    [
        pytest.param("resnet18", "layer9", "there is no layer 'layer9' in the network; there are layer", id="none"),
        pytest.param(
            "swin_t",
            "features.1",
            "features.1 gives values of the shape (16, 16, 96) of an image; name a layer that gives a vector or a map",
            id="channels last",
        ),
    ],
)
def test_a_layer_that_gives_no_vector_is_refused(name: str, layer: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        embed(name, layer=layer)
    assert refused.value.field == "spec.output.layer"
    assert sentence in str(refused.value)


class Headed(nn.Module):
    """A network whose answer is made of two heads and a body in any way."""

    def __init__(self, answer: Callable[["Headed", torch.Tensor], torch.Tensor], *, is_head_first: bool) -> None:
        super().__init__()
        layers = {"head": nn.Linear(8, 8), "body": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))}
        for name in layers if is_head_first else reversed(layers):
            self.add_module(name, layers[name])
        if not is_head_first:
            self.other = nn.Linear(8, 8)
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.answer(self, self.get_submodule("body")(images).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("answer", "is_head_first", "last"),
    [
        pytest.param(lambda net, x: net.head(x), True, "body.2", id="a head that is made first"),
        pytest.param(lambda net, x: net.head(x) + net.other(x), False, "other", id="two heads"),
        pytest.param(lambda net, x: net.head(x), False, "other", id="a last layer that isn't used"),
        pytest.param(lambda net, x: net.other(x) + 0 * net.other(2 * x), False, "other", id="a head used twice"),
        pytest.param(lambda net, x: net.other(x).softmax(1), False, "other", id="a softmax behind the head"),
        pytest.param(lambda net, x: net.other(x) * net.other.weight.sum(), False, "other", id="weights used elsewhere"),
    ],
)
def test_a_network_whose_values_are_not_its_last_layer_s_needs_a_layer_s_name(
    answer: Any, is_head_first: bool, last: str
) -> None:
    with pytest.raises(Invalid) as refused:
        cut_network(Headed(answer, is_head_first=is_head_first).eval(), None, side=16)

    assert refused.value.field == "spec.output.layer"
    assert refused.value.message == (
        f"is missing, and the values of the network are not those of {last}, its last layer, alone; name a layer"
    )


@pytest.mark.parametrize("name", ["levit_128", "deit_tiny_distilled_patch16_224"])
def test_a_network_with_a_head_for_each_of_two_teachers_needs_a_layer_s_name(name: str) -> None:
    with pytest.raises(Invalid, match="the values of the network are not those of head_dist"):
        load_model(Model(name=f"timm/{name}", weights="none"), Output(kind="Embedding"))


def test_rows_have_a_size_that_fits_a_memory() -> None:
    wide = nn.Sequential(nn.Flatten(), nn.Linear(3, MAX_VALUES + 1), nn.Linear(MAX_VALUES + 1, 2))
    with pytest.raises(Invalid, match=f"has {MAX_VALUES + 1:,} values; an embedding has at most {MAX_VALUES:,}"):
        cut_network(wide, None, side=1)
    with pytest.raises(Invalid, match=f"Probabilities are of at most {MAX_VALUES:,} classes") as refused:
        load_model(
            Model(name="squeezenet1_1", weights="none", image_size=SIDE, classes=MAX_VALUES + 1),
            Output(kind="Probabilities"),
        )
    assert refused.value.field == "spec.output.kind"


def test_the_weights_are_the_same_whatever_is_made_of_them() -> None:
    whole = load_model(Model(name="efficientnet_lite0", image_size=SIDE))
    cut = load_model(Model(name="efficientnet_lite0", image_size=SIDE), Output(kind="Embedding"))
    assert whole.weights_digest == cut.weights_digest
    assert whole.labels == cut.labels
