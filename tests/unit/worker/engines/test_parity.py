"""How an engine's first results are compared with those of plain fp32 PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dueby_api.engines import Precision
from dueby_worker.engines.network import Network, tuned_network
from dueby_worker.engines.parity import compare, made_up_images
from dueby_worker.models.columns import Columns
from dueby_worker.models.loading import LoadedModel
from support.models import loaded

SIDE = 64


class Watched(nn.Module):
    """Notes the threads that it is computed with."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.threads: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        values: torch.Tensor = self.module(images)
        return values


def expected(model: LoadedModel, pictures: np.ndarray) -> Columns:
    with torch.inference_mode():
        logits = Network(model.module, model.preprocessing)(torch.from_numpy(pictures))
    scores, classes = logits.softmax(dim=1).topk(5)
    return {"classes": classes.int().numpy(), "scores": scores.numpy()}


@pytest.mark.parametrize(
    ("precision", "shift", "swap", "same_top1", "ok"),
    [
        pytest.param("fp32", 0.0, False, 1, True, id="the same"),
        pytest.param("fp32", 9e-5, False, 1, True, id="rounding"),
        pytest.param("fp32", 2e-4, False, 1, False, id="more than rounding"),
        pytest.param("tf32", 0.02, False, 1, True, id="tf32's rounding"),
        pytest.param("tf32", 0.04, False, 1, False, id="more than tf32's"),
        pytest.param("bf16", 0.09, False, 1, True, id="bf16's rounding"),
        pytest.param("bf16", 0.11, False, 1, False, id="more than bf16's"),
        pytest.param("bf16", 0.0, True, 0, False, id="another best class"),
        pytest.param("fp16", float("nan"), False, 1, False, id="no number at all"),
    ],
)
def test_parity_is_judged_by_the_precision(
    precision: Precision, shift: float, swap: bool, same_top1: float, ok: bool
) -> None:
    model = loaded("efficientnet_lite0", weights="DEFAULT", image_size=224)
    pictures = made_up_images(3, 224)
    top = expected(model, pictures)
    order = [1, 0, 2, 3, 4] if swap else [0, 1, 2, 3, 4]

    parity = compare(
        pictures,
        {"classes": top["classes"][:, order], "scores": top["scores"][:, order] + np.float32(shift)},
        loaded=model,
        precision=precision,
        threads=1,
    )

    assert (parity.same_top1, parity.ok) == (same_top1, ok)
    assert (parity.max_difference is None) == np.isnan(shift)  # JSON has no other word for it
    assert ("DISAGREES" in parity.sentence) is not ok


class ImitatedTF32(TorchFunctionMode):
    """Rounds what convolutions and linear layers multiply to 10 bits of mantissa, or cuts it off there."""

    def __init__(self, *, is_cut: bool) -> None:
        super().__init__()
        self._half = 0 if is_cut else 1 << 12

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (functional.conv2d, functional.linear):
            args = (*map(self._rounded, args[:2]), *args[2:])
        return function(*args, **(kwargs or {}))

    def _rounded(self, values: torch.Tensor) -> torch.Tensor:
        bits = values.contiguous().view(torch.int32)
        return ((bits + self._half) & ~((1 << 13) - 1)).view(torch.float32)


@pytest.mark.parametrize("is_cut", [False, True], ids=["rounded", "cut off"])
def test_the_limits_tell_tf32_from_fp32(is_cut: bool) -> None:
    model = loaded("efficientnet_lite0", weights="DEFAULT", image_size=224)
    pictures = made_up_images(4, 224)
    network = tuned_network(model, "tf32")
    with torch.inference_mode(), ImitatedTF32(is_cut=is_cut):
        result = {name: column.numpy() for name, column in network(torch.from_numpy(pictures)).items()}

    tf32, fp32 = (compare(pictures, result, loaded=model, precision=limits, threads=1) for limits in ("tf32", "fp32"))

    assert tf32.ok, tf32.sentence
    assert not fp32.ok, fp32.sentence


def test_plain_fp32_has_the_threads_of_the_worker_whose_engine_leaves_torch_one() -> None:
    model = loaded("efficientnet_b0", image_size=SIDE)
    pictures = made_up_images(2, SIDE)
    watched = Watched(model.module)
    torch.set_num_threads(1)

    compare(pictures, expected(model, pictures), loaded=model.replace(module=watched), precision="fp32", threads=2)

    assert watched.threads == [2]
    assert torch.get_num_threads() == 1


def test_classes_that_are_as_likely_may_change_places() -> None:
    model = loaded("efficientnet_b0", image_size=SIDE)  # random weights: 0.001 for every class
    pictures = made_up_images(2, SIDE)
    top = expected(model, pictures)

    turned = {name: column[:, ::-1] for name, column in top.items()}
    parity = compare(pictures, turned, loaded=model, precision="fp32", threads=1)

    assert parity.ok, parity.sentence


def test_made_up_images_are_always_the_same_and_differ_from_each_other() -> None:
    pictures = made_up_images(6, SIDE)

    assert (pictures.shape, pictures.dtype) == ((6, SIDE, SIDE, 3), np.dtype(np.uint8))
    assert np.array_equal(pictures, made_up_images(6, SIDE))
    assert len({picture.tobytes() for picture in pictures}) == 4
