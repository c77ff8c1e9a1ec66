"""Every cut of a network is tried: what torch.fx misses is refused, and what is merely unusual is cut."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.models.embedding import cut_network, is_close, tried_images
from dueby_worker.models.registry import find_entry

SIDE = 16
CHANNELS = 8


class Small(nn.Module):
    """A classifier of three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, CHANNELS, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(CHANNELS, 4)

    def forward(self, x: Any) -> torch.Tensor:
        return self.answer(x)

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.pool(self.body(x).relu()).flatten(1))
        return scores


class AskingForTensors(Small):
    def forward(self, x: Any) -> torch.Tensor:
        return self.answer(4 * (x - 0.5) if isinstance(x, torch.Tensor) else x)


class TakingMappings(Small):
    def forward(self, x: Any) -> torch.Tensor:
        return self.answer(x if torch.is_tensor(x) else x["image"])


class Called(Small):
    def __call__(self, x: torch.Tensor) -> Any:
        return super().__call__(4 * (x - 0.5))


def hooked() -> nn.Module:
    net = Small()
    net.register_forward_pre_hook(lambda _, inputs: (4 * (inputs[0] - 0.5),))
    return net


def patched() -> nn.Module:
    net = Small()
    vars(net)["forward"] = lambda x: net.answer(4 * (x - 0.5))
    return net


@pytest.fixture(autouse=True)
def same_each_time() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def refusal(net: nn.Module, layer: str | None) -> str:
    with pytest.raises(Invalid) as refused:
        cut_network(net.eval(), layer, side=SIDE)
    assert refused.value.field == "spec.output.layer"
    return refused.value.message


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(hooked, id="a hook"),
        pytest.param(patched, id="a forward that was replaced"),
        pytest.param(Called, id="a call of its own"),
        pytest.param(AskingForTensors, id="a condition on the input's type"),
    ],
)
@pytest.mark.parametrize("layer", ["pool", "flatten"])
def test_a_cut_that_misses_a_part_of_the_network_is_refused(make: Callable[[], nn.Module], layer: str) -> None:
    message = refusal(make(), layer)

    assert message.startswith(f"the network up to {layer} gives other values than in the whole one; torch.fx, which")
    assert message.endswith("put them into the network's plain code, or leave layer out")


def test_a_cut_that_can_not_run_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert refusal(TakingMappings(), "pool").startswith("the network up to pool fails: too many indices for tensor")
    # torch.fx prints the code in which a call of it fails.
    assert "FX-traced" not in capfd.readouterr().err


@pytest.mark.parametrize("layer", ["pool", "flatten", "relu"])
def test_a_plain_network_is_cut_at_layers_and_at_functions(layer: str) -> None:
    cut, values = cut_network(Small().eval(), layer, side=SIDE)

    assert (values, cut(tried_images(SIDE)).shape) == (CHANNELS, (2, CHANNELS))


def test_a_layer_of_16_bits_is_cut() -> None:
    class Coarse(Small):
        def forward(self, x: Any) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.answer(x)

    assert cut_network(Coarse().eval(), "pool", side=SIDE)[1] == CHANNELS


def test_layers_have_torchvision_s_names_even_where_the_network_s_are_others() -> None:
    # The network's ln_2 is torchvision's ln_1.
    net = VisionTransformer(
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=4
    )
    with pytest.raises(Invalid, match="name a layer that gives a vector"):
        cut_network(net.eval(), "encoder.layers.encoder_layer_0.ln_1", side=32)


def answering(answer: Callable[[Small, torch.Tensor], torch.Tensor]) -> nn.Module:
    net = Small()
    vars(net)["answer"] = lambda x: answer(net, x)
    return net


def pooled(net: Small, x: torch.Tensor) -> torch.Tensor:
    values: torch.Tensor = net.pool(net.body(x).relu()).flatten(1)
    return values


def in_16_bits(net: Small, x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        scores: torch.Tensor = net.head(pooled(net, x))
    return scores


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda net, x: net.head(net.pool(net.body(x).relu()).squeeze()), id="a squeeze after pooling"),
        pytest.param(lambda net, x: net.head(pooled(net, x)).squeeze(), id="a squeeze at the end"),
        pytest.param(lambda net, x: net.head(input=pooled(net, x)), id="an input by its name"),
        pytest.param(lambda net, x: net.head(pooled(net, x)).to(torch.bfloat16), id="values of 16 bits"),
        pytest.param(in_16_bits, id="autocast"),
        pytest.param(lambda net, x: net.head(pooled(net, x.sub_(0.5))), id="images that are changed in place"),
        pytest.param(lambda net, x: in_16_bits(net, x).float(), id="autocast, and values of 32 bits"),
    ],
)
def test_the_last_layer_is_left_out_however_it_is_called(answer: Any) -> None:
    cut, values = cut_network(answering(answer).eval(), None, side=SIDE)

    assert (values, cut(tried_images(SIDE)).shape) == (CHANNELS, (2, CHANNELS))


def test_what_the_trial_raises_becomes_a_sentence() -> None:
    def answer(net: Small, x: torch.Tensor) -> torch.Tensor:
        if x.min() < 0:
            raise LookupError("no negative images\nplease")
        scores: torch.Tensor = net.head(pooled(net, x))
        return scores

    sentence = "head, the network's last layer, can't be left out: no negative images; name a layer"
    assert refusal(answering(answer), None) == f"is missing, and {sentence}"


@pytest.mark.parametrize("side", [32, 48])
def test_squeezenet_s_last_layer_is_left_out_at_any_size(side: int) -> None:
    net = find_entry(Model(name="squeezenet1_1", weights="none")).build(image_size=side, classes=4, trained=False)
    assert cut_network(net.eval(), None, side=side)[1] == 512


@pytest.mark.parametrize(
    ("one", "other", "close"),
    [
        pytest.param([1.0, 1e-9], [1.0, 0.0], True, id="rounding beside the largest value"),
        pytest.param([1.0, 0.01], [1.0, 0.0], False, id="a difference"),
        pytest.param([float("inf"), float("nan")], [float("inf"), float("nan")], True, id="what is not finite"),
        pytest.param([float("inf"), 1.0], [float("inf"), 2.0], False, id="a difference beside what is not finite"),
        pytest.param([1.0, 2.0], [[1.0, 2.0]], False, id="another shape"),
    ],
)
def test_values_are_close_if_they_differ_by_their_rounding(one: Any, other: Any, close: bool) -> None:
    assert is_close(torch.tensor(one), torch.tensor(other)) == close


def test_values_of_16_bits_are_rounded_more() -> None:
    values = torch.tensor([1.0, 3.0])
    assert is_close(values.bfloat16() * 1.01, values)
    assert not is_close(values * 1.01, values)
    assert not is_close(values.bfloat16() * 1.1, values)
