"""The order in which a network's values lie in a GPU's memory: the one in which its own mini-batches take less time.

Tensor cores read channels last (NHWC), which is the usual one here. For fp32 without them, and for depthwise and
grouped convolutions, cuDNN's kernels may be faster with channels first (NCHW), PyTorch's own order: a V100 took 1.68 s
so and 2.76 s with channels last (pytorch#44943, and #34977 for groups). Which one wins depends on the GPU, the
precision, the network and the mini-batch, so both are tried on the GPU before the first mini-batch, one after the
other, because two networks may not fit into its memory. A start-up is longer by another build of the engine.

Cores don't try: there channels last wins by a fifth (host.py). Neither does `inductor`, which chooses an order for each
layer itself, and whose second try would take tens of seconds.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from dueby_worker.engines.network import Layout, RowNetwork, has_convolutions, lay_out

USUAL: Layout = "NHWC"
OTHER: Layout = "NCHW"
# Clocks move by a few percent, and all workers of a job are to decide alike.
LEAD = 0.05
# How many steps are timed: as many as take so long, but at least the fewest.
_TIMED_S = 0.2
_FEWEST, _MOST = 3, 20
Prepared = TypeVar("Prepared")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LaidOut(Generic[Prepared]):
    """A network that is ready to be called, in one of the layouts."""

    run: Prepared
    layout: Layout = USUAL
    step_us: Mapping[Layout, float] = field(default_factory=dict)
    """Mean step in each layout that was tried, in microseconds; infinite if it failed there. Empty: none was tried."""


def faster_layout(step_us: Mapping[Layout, float]) -> Layout:
    """Return the other layout if it is faster by the lead; otherwise the usual one."""
    return OTHER if step_us[OTHER] < (1 - LEAD) * step_us[USUAL] else USUAL


def in_faster_layout(
    network: RowNetwork,
    *,
    prepare: Callable[[], Prepared],
    time_us: Callable[[Prepared], float],
    release: Callable[[], None],
) -> LaidOut[Prepared]:
    """Return the network, prepared in the layout in which `time_us` says that its steps are shorter.

    `release` gives the memory of what was prepared before back. Raise what `prepare` raises in the usual layout.
    """
    if not has_convolutions(network):
        return LaidOut(run=prepare())
    lay_out(network, OTHER)
    try:
        other_us = time_us(prepare())
    except RuntimeError as error:
        # Such as memory that runs out, for which cuDNN has several names. If the GPU fails, so does the usual one.
        log.info("It doesn't compute in %s: %s", OTHER, error)
        other_us = inf
    release()
    lay_out(network, USUAL)
    run = prepare()
    step_us: dict[Layout, float] = {USUAL: time_us(run), OTHER: other_us}
    layout = faster_layout(step_us)
    log.info("A mini-batch takes %.0f us in %s and %.0f us in %s", step_us[USUAL], USUAL, other_us, OTHER)
    if layout != USUAL:
        del run
        release()
        lay_out(network, layout)
        run = prepare()
    return LaidOut(run=run, layout=layout, step_us=step_us)


def mean_step_us(start: Callable[[], object], *, wait: Callable[[], None], clock: Callable[[], float]) -> float:
    """Return the mean time of a step in microseconds. `start` begins one, and `wait` waits for all that were begun."""

    def seconds(steps: int) -> float:
        began_s = clock()
        for _ in range(steps):
            start()
        wait()
        return clock() - began_s

    seconds(1)  # not counted: in its first call cuDNN chooses its kernels
    steps = min(_MOST, max(_FEWEST, int(_TIMED_S / max(1e-6, seconds(1)))))
    return 1e6 * seconds(steps) / steps
