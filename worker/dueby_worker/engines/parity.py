"""Whether an engine says what plain fp32 PyTorch says.

Checked once when a worker starts, since it depends on the machine as much as on the code: instruction sets, driver,
version of a library. It compares the probabilities that the engine returns, so that it works for any engine, and on
pictures that are always the same. The result is a value; what to do about it is the caller's.
"""

from dataclasses import dataclass

import numpy as np
import torch

from dueby_api.engines import Precision
from dueby_worker.engines.interface import Engine, Pixels, TopK
from dueby_worker.engines.network import Logits
from dueby_worker.models.loading import LoadedModel

# Measured over several engines and photos: fp32 differs by 2e-5 at the most, bf16 by 0.04.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.1}
# Below this lead the two best classes may change places, as rounding alone makes them do.
_CLEAR_LEAD: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.05}
# Plain fp32 takes a multiple of the engine's time, so only so many pictures are compared.
MAX_PICTURES = 4


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an engine is from plain fp32."""

    max_difference: float
    """The largest difference in the probability of any class that the engine returned."""
    same_top1: bool
    """Whether the best class was the same for every picture that has a clear one."""
    ok: bool
    sentence: str
    """For people."""


def check_parity(engine: Engine, loaded: LoadedModel) -> Parity:
    """Compare the engine with plain fp32 on made-up pictures. It runs one mini-batch; nothing else may be in flight."""
    batch = engine.buffer()
    batch[...] = made_up_pictures(len(batch), loaded.preprocessing.crop_side)
    engine.submit(batch)
    return compare(batch, engine.collect(), loaded=loaded, precision=engine.precision)


def compare(batch: Pixels, result: TopK, *, loaded: LoadedModel, precision: Precision) -> Parity:
    """Compare what an engine returned for a mini-batch with plain fp32 on its first few pictures."""
    count = min(MAX_PICTURES, len(batch))
    with torch.inference_mode():
        logits = Logits(loaded.module, loaded.preprocessing).eval()(torch.from_numpy(batch[:count]))
    expected = logits.softmax(dim=1).numpy()
    rows = np.arange(count)
    classes, scores = result.classes[:count], result.scores[:count]
    difference = float(np.abs(expected[rows[:, None], classes] - scores).max())
    lead = expected.max(axis=1) - expected[rows, classes[:, 0]]
    same = bool((lead <= _CLEAR_LEAD[precision]).all())
    # False where the difference is not a number.
    ok = same and difference <= TOLERANCE[precision]
    return Parity(
        max_difference=difference,
        same_top1=same,
        ok=ok,
        sentence=f"{'agrees' if ok else 'DISAGREES'} with plain fp32: best classes {'the same' if same else 'differ'}, "
        f"probabilities within {difference:.1e} (at {precision} up to {TOLERANCE[precision]:g} may be)",
    )


def made_up_pictures(count: int, side: int) -> Pixels:
    """(count, side, side, 3) pictures, always the same: waves of colour, which a network tells apart."""
    y, x = np.mgrid[0:side, 0:side, 0:3][:2] / side * 2 * np.pi
    colour = np.arange(3)
    some = [np.sin((n + 1) * x + colour + n) * np.cos((n % 3 + 1) * y - n) for n in range(min(count, MAX_PICTURES))]
    pictures = (127.5 * (1 + np.stack(some))).astype(np.uint8)
    return pictures[np.arange(count) % len(pictures)]
