"""Which layout a GPU's engine computes in, by given times; what each layout computes is shown on cores."""

import weakref
from math import inf
from typing import cast

import pytest
import torch
from torch import nn

from dueby_worker.engines.memory_layout import LaidOut, faster_layout, in_faster_layout, mean_step_us
from dueby_worker.engines.network import Layout, Network, RowNetwork, lay_out, tuned_network
from support.models import loaded, noise

SIDE = 64


@pytest.mark.parametrize(
    ("usual_us", "other_us", "layout"),
    [
        pytest.param(1000, 2000, "NHWC", id="the usual one is faster"),
        pytest.param(1000, 1000, "NHWC", id="both are alike"),
        pytest.param(1000, 960, "NHWC", id="a lead that may be chance"),
        pytest.param(1000, 900, "NCHW", id="the other one is faster"),
        pytest.param(1000, inf, "NHWC", id="the other one failed"),
    ],
)
def test_the_usual_layout_is_left_for_a_lead_only(usual_us: float, other_us: float, layout: Layout) -> None:
    assert faster_layout({"NHWC": usual_us, "NCHW": other_us}) == layout


def a_network(name: str = "efficientnet_b0") -> RowNetwork:
    return tuned_network(loaded(name, image_size=SIDE), "fp32")


class Prepared:
    """What an engine would call: the layout that the network had when it was prepared."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout


class Trials:
    """Prepares a network as an engine does, and gives the times that it is told."""

    def __init__(self, network: RowNetwork, times_us: dict[Layout, float | None]) -> None:
        self.network, self.times_us = network, times_us
        self.prepared: list[Layout] = []
        self.living: list[weakref.ref[Prepared]] = []

    def prepare(self) -> Prepared:
        """Return the network as it is now, while nothing else is there that was prepared."""
        assert not [prepared for prepared in self.living if prepared() is not None]
        layout = cast(Network, self.network.network).layout
        self.prepared.append(layout)
        run = Prepared(layout)
        self.living.append(weakref.ref(run))
        return run

    def time_us(self, run: Prepared) -> float:
        """Return the layout's time; where it is None, there is no memory for it."""
        time_us = self.times_us[run.layout]
        if time_us is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return time_us

    def laid_out(self) -> LaidOut[Prepared]:
        """Let the faster layout be chosen."""
        return in_faster_layout(self.network, prepare=self.prepare, time_us=self.time_us, release=lambda: None)


@pytest.mark.parametrize(
    ("times_us", "layout", "prepared"),
    [
        pytest.param({"NHWC": 10.0, "NCHW": 12.0}, "NHWC", ["NCHW", "NHWC"], id="the usual one needs two builds"),
        pytest.param({"NHWC": 12.0, "NCHW": 10.0}, "NCHW", ["NCHW", "NHWC", "NCHW"], id="the other one three"),
        pytest.param(
            {"NHWC": 12.0, "NCHW": None},
            *("NHWC", ["NCHW", "NHWC"]),
            id="the other one doesn't fit",
        ),
    ],
)
def test_the_network_is_prepared_in_the_faster_layout_and_never_twice_at_once(
    times_us: dict[Layout, float | None], layout: Layout, prepared: list[Layout]
) -> None:
    trials = Trials(a_network(), times_us)
    laid_out = trials.laid_out()
    assert (laid_out.layout, laid_out.run.layout, trials.prepared) == (layout, layout, prepared)
    assert laid_out.step_us == {name: time_us or inf for name, time_us in times_us.items()}


def test_what_fails_in_the_usual_layout_is_raised() -> None:
    trials = Trials(a_network(), {"NHWC": None, "NCHW": 10.0})
    with pytest.raises(torch.OutOfMemoryError):
        trials.laid_out()


def test_a_network_without_convolutions_is_prepared_once() -> None:
    network = a_network()
    cast(Network, network.network).module = nn.Sequential(nn.Flatten(), nn.Linear(3, 4))
    trials = Trials(network, {})
    assert (trials.laid_out().layout, trials.prepared) == ("NHWC", ["NHWC"])


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet18"])
def test_both_layouts_compute_the_same_in_maps_that_lie_as_they_say(name: str) -> None:
    network, pictures = a_network(name), torch.from_numpy(noise(3, SIDE))
    shapes: list[tuple[bool, bool]] = []

    def note(module: nn.Module, images: tuple[torch.Tensor, ...], maps: torch.Tensor) -> None:
        # Of maps of one pixel both are so.
        if maps.shape[2] > 1:
            shapes.append((maps.is_contiguous(memory_format=torch.channels_last), maps.is_contiguous()))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    columns, found = {}, {}
    layouts: tuple[Layout, ...] = ("NHWC", "NCHW", "NHWC")
    for number, layout in enumerate(layouts):
        lay_out(network, layout)
        shapes.clear()
        columns[number], found[layout] = network(pictures), set(shapes)
    assert found == {"NHWC": {(True, False)}, "NCHW": {(False, True)}}
    for number in (1, 2):
        assert torch.allclose(columns[number]["scores"], columns[0]["scores"], atol=1e-5)


def test_as_many_steps_are_timed_as_say_enough() -> None:
    def timed(step_s: float) -> tuple[int, float]:
        now = [0.0]
        started: list[float] = []

        def start() -> None:
            started.append(step_s * (1 if started else 1000))  # cuDNN chooses its kernels in the first one

        def wait() -> None:
            now[0] += sum(started[len(waited) :])
            waited.extend(started[len(waited) :])

        waited: list[float] = []
        return round(mean_step_us(start, wait=wait, clock=lambda: now[0])), len(started) - 2

    assert timed(0.001) == (1000, 20)
    assert timed(0.02) == (20_000, 10)
    assert timed(2.0) == (2_000_000, 3)
