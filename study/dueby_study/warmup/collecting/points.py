"""Which first mini-batches to measure: every combination of what is asked for, in an order that favours none.

The order is shuffled, always in the same way. Whenever measuring ends, what has been measured is a sample of the whole,
and what the machine does meanwhile (it warms up, other programs come and go) affects all configurations alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model


@dataclass(frozen=True, kw_only=True)
class WarmupPoint:
    """A configuration that is measured once, in a fresh process on each device of a class side by side."""

    device_class: str
    engine: EngineName
    model: Model
    mini_batch_size: int
    round: int = 0
    """Number of the repetition."""

    @property
    def key(self) -> tuple[object, ...]:
        """Identifies the point, by the values of the columns in KEY."""
        model = self.model
        return (
            self.device_class,
            self.engine,
            model.name,
            model.precision,
            model.image_size,
            self.mini_batch_size,
            self.round,
        )


KEY = ("device_class", "engine", "model", "precision", "image_size", "mini_batch_size", "round")


def every_point(
    *,
    device_classes: Sequence[str],
    engines: Sequence[EngineName],
    models: Sequence[str],
    image_sizes: Sequence[int],
    mini_batch_sizes: Sequence[int],
    rounds: int = 1,
) -> list[WarmupPoint]:
    """Return all combinations, with random weights, which make no difference to the time; every round repeats all of
    them.
    """
    random, points = Random(0), []
    for number in range(rounds):
        combinations = list(product(device_classes, engines, models, image_sizes, mini_batch_sizes))
        random.shuffle(combinations)
        points += [
            WarmupPoint(
                device_class=device_class,
                engine=engine,
                model=Model(name=name, weights="none", image_size=image_size),
                mini_batch_size=size,
                round=number,
            )
            for device_class, engine, name, image_size, size in combinations
        ]
    return points
