"""Batch norms are folded only where the network answers as before."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models
from torch import nn

from dueby_worker.engines.network import fold_batch_norms, tuned_network
from dueby_worker.models.embedding import tried_images
from support.models import loaded


class Small(nn.Module):
    """Two convolutions and two batch norms, all of which differ; `answer` says what is made of them."""

    def __init__(self, answer: Callable[["Small", torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.alias = self.first
        self.one, self.other = (nn.BatchNorm2d(3) for _ in range(2))
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.answer(self, images)


class Tripled(Small):
    """A network whose class has a call of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return 3 * super().__call__(*args, **kwargs)


def plain(net: Small, x: torch.Tensor) -> Any:
    return net.other(net.second(net.one(net.first(x)).relu()))


def bare(net: Small, x: torch.Tensor) -> Any:
    return net.one(net.first(x)) + nn.functional.conv2d(x, net.first.weight, padding=1)


def doubled(*values: Any) -> Any:
    """Serve as a hook that doubles the output, or the input if there is no output yet."""
    return (2 * values[1][0],) if len(values) == 2 else 2 * values[2]


def folded_of(net: nn.Module, *, is_tried: bool = False) -> tuple[nn.Module, float]:
    """Return the folded network and by how much its answers differ."""
    net = net.eval().requires_grad_(False)
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            assert isinstance(tensor, torch.Tensor)
            tensor.uniform_(0.5, 2)
    images = torch.rand(2, 3, 8, 8)
    folded = fold_batch_norms(net, tried_images(8) if is_tried else None)
    return folded, float((net(images.clone()) - folded(images.clone())).abs().max())


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.fixture(autouse=True)
def same_each_time() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param(plain, 0, id="two pairs"),
        pytest.param(lambda net, x: net.other(net.first(net.one(net.first(x)).relu())), 2, id="two norms"),
        pytest.param(lambda net, x: net.one(net.first(x)) + net.first(x), 1, id="with and without a norm"),
        pytest.param(lambda net, x: net.other(net.alias(net.one(net.first(x)).relu())), 2, id="two names"),
        pytest.param(lambda net, x: net.one(net.second(net.one(net.first(x)).relu())), 1, id="one norm for two"),
        pytest.param(lambda net, x: net.one(net.first(net.one(net.first(x)))), 1, id="a pair twice"),
        pytest.param(bare, 1, id="its weights are used elsewhere"),
    ],
)
def test_a_pair_is_folded_if_both_are_called_once(answer: Any, left: int) -> None:
    folded, difference = folded_of(Small(answer))

    assert difference < 1e-5
    assert norms(folded) == left


@pytest.mark.parametrize("layer", ["first", "one"])
@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_layer_with_a_hook_stays(layer: str, register: str) -> None:
    net = Small(plain)
    getattr(net.get_submodule(layer), register)(doubled)

    folded, difference = folded_of(net)

    assert difference < 1e-5
    assert norms(folded) == 1


def test_a_layer_with_a_forward_of_its_own_stays() -> None:
    net = Small(plain)
    vars(net.first)["forward"] = torch.relu

    folded, difference = folded_of(net)

    assert difference < 1e-5
    assert norms(folded) == 1


def hooked(register: str) -> nn.Module:
    net = Small(plain)
    getattr(net, register)(doubled)
    return net


def patched() -> nn.Module:
    net = Small(plain)
    vars(net)["forward"] = torch.relu
    return net


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: hooked("register_forward_hook"), id="a hook"),
        pytest.param(lambda: hooked("register_forward_pre_hook"), id="a hook before"),
        pytest.param(lambda: Tripled(plain), id="a call of its own"),
        pytest.param(patched, id="a forward that was replaced"),
    ],
)
def test_a_network_that_a_trace_would_miss_a_part_of_is_left_as_it_is(make: Callable[[], nn.Module]) -> None:
    folded, difference = folded_of(make())

    assert difference == 0
    assert norms(folded) == 2


class AskingForTensors(Small):
    """A network that does more with a tensor than with what torch.fx gives it."""

    def forward(self, images: Any) -> torch.Tensor:
        return self.answer(self, 4 * (images - 0.5) if isinstance(images, torch.Tensor) else images)


class TakingMappings(Small):
    """A network that torch.fx takes the wrong way through."""

    def forward(self, images: Any) -> torch.Tensor:
        return self.answer(self, images if torch.is_tensor(images) else images["image"])


@pytest.mark.parametrize("kind", [AskingForTensors, TakingMappings])
def test_a_network_whose_trace_answers_otherwise_is_left_as_it_is(kind: type[Small]) -> None:
    folded, difference = folded_of(kind(plain), is_tried=True)

    assert difference == 0
    assert norms(folded) == 2


@pytest.mark.parametrize("answer", [plain, lambda net, x: plain(net, x.mul_(2))], ids=["plainly", "in place"])
def test_a_network_whose_trace_answers_alike_is_folded(answer: Any) -> None:
    folded, difference = folded_of(Small(answer), is_tried=True)

    assert difference < 1e-5
    assert norms(folded) == 0


@pytest.mark.parametrize(("name", "left"), [("python/own:make", 2), ("timm/own", 2), ("resnet18", 0)])
def test_only_torchvision_s_networks_are_trusted(name: str, left: int) -> None:
    model = loaded().replace(name=name, module=AskingForTensors(plain).eval())

    assert norms(tuned_network(model, "fp32")) == left


@pytest.mark.parametrize(
    ("name", "left"),
    [
        *((name, 0) for name in ("efficientnet_b0", "mobilenet_v3_small", "mnasnet0_5", "resnet18", "vgg11_bn")),
        # These have them in front of a convolution too, where they can't be folded.
        ("densenet121", 62),
        ("maxvit_t", 11),
    ],
)
def test_folding_leaves_no_batch_norm_behind_a_convolution(name: str, left: int) -> None:
    with torch.device("meta"):
        folded = fold_batch_norms(torchvision.models.get_model(name, weights=None).eval())

    assert norms(folded) == left
