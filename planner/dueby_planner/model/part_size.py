"""How many images a part has: few enough to lose one, enough to be worth a file, and never so many that k changes.

k is found first, with what hand-overs are assumed to lose (rule.py). Then parts grow as long as k devices are accepted
with what hand-overs lose of such parts. So the fewest stay the fewest, and so does their proof.
"""

from collections.abc import Sequence
from dataclasses import replace

from dueby_planner.model.capacity import DeviceChoice
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import EqualDevices, first_devices

# A killed worker loses its open part, and whoever gives a device up ends its part or drops it. So a part has a
# hundredth of a worker's share, and at most so much is waited for, or done again.
_PARTS_OF_A_SHARE, _MOST_PART_US = 100, 120_000_000
# But each part is a file, and in S3 a PUT of 0.1 s. Where a hundredth is less than this, or than a tenth of the time if
# that is less, a part is more of the share: so little may be lost to a kill.
_USEFUL_PART_US, _PARTS_IN_TIME = 5_000_000, 10
# Even a slow device does so many parts in time, so that what it has begun isn't what all others wait for.
_LEAST_PARTS = 4


def part_size_for(problem: Problem, able: Sequence[EqualDevices], choices: Sequence[DeviceChoice], *, gpus: int) -> int:
    """Return the largest power of two up to a bound that keeps k accepted; 1 always does, so k never depends on it.

    With the share ceil(N / k), the time left T, the images in(t) that the slowest of the devices does in a time, the
    least C of the k capacities, and the smallest mini-batch b, rounded up to a power of two,

        bound = min(max_part, in(2 min), max(share / 100, min(share, C / 4, max(b, in(min(5 s, T / 10))))))
    """
    share = -(-problem.images // gpus)
    least, _ = list(first_devices(able, gpus))[-1]
    batch = 1 << (min(choice.mini_batch_size for choice in choices) - 1).bit_length()

    def within(time_us: int) -> int:
        return min(time_us // choice.latency_us * choice.mini_batch_size for choice in choices)

    useful = max(batch, within(min(_USEFUL_PART_US, problem.time_us // _PARTS_IN_TIME)))
    wanted = max(share // _PARTS_OF_A_SHARE, min(share, least // _LEAST_PARTS, useful))
    size = 1 << max(0, min(problem.max_part, within(_MOST_PART_US), wanted).bit_length() - 1)
    while size > 1 and not replace(problem.rule, part_size=size).accepts(able, gpus):
        size >>= 1
    return size
