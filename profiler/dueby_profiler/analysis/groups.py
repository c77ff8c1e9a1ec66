"""The process groups that measured a layout, and which of them the profile is made of.

What a group measured while other programs were seen to use the cores is partly their doing. Such a group is disturbed,
and does not count if enough quiet ones remain. A group that is merely slow counts: that is what the machine is like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dueby_profiler.analysis.points import Measurements
from dueby_profiler.presets import ENOUGH_GROUPS

# With fewer than ENOUGH_GROUPS the spread is widened: of three groups twofold, which still plans better than times that
# are too long by an unknown factor. Of two it would be nearly fivefold, and there might be a single round among them.
MIN_QUIET_GROUPS = 3


@dataclass(kw_only=True)
class MeasuredGroup:
    """One group, filled while it measures."""

    found: Measurements
    foreign_cores: float = 0.0
    """Cores that other programs used on average, from before it was started until after it ended."""


@dataclass(kw_only=True)
class MeasuredGroups:
    """All groups of one layout with one engine, in the order in which they measured."""

    slices: int
    """Processes of a group."""
    is_gpu: bool
    allowed_cores: float
    """A group is disturbed if other programs used more than this meanwhile."""
    every: list[MeasuredGroup] = field(default_factory=list)

    def begin(self) -> MeasuredGroup:
        """Add a group that has yet to measure, and return it."""
        # Slices of cores share one profile; each GPU has a profile of its own.
        self.every.append(MeasuredGroup(found=Measurements(group_size=1 if self.is_gpu else self.slices)))
        return self.every[-1]

    @property
    def found(self) -> Measurements:
        return _merge(self.every)

    @property
    def quiet(self) -> list[MeasuredGroup]:
        return [group for group in self.every if group.foreign_cores <= self.allowed_cores]

    @property
    def quiet_found(self) -> Measurements:
        return _merge(self.quiet)

    @property
    def counting(self) -> list[MeasuredGroup]:
        """The groups that the profile is made of: the quiet ones, or all if too few are quiet."""
        quiet = self.quiet
        return quiet if len(quiet) >= MIN_QUIET_GROUPS else self.every

    @property
    def counted(self) -> Measurements:
        """What the profile is made of.

        What is used only if nothing better is known may be of any group, and so may peak memory, which is the same
        whoever uses the cores.
        """
        first, better = self.found, _merge(self.counting)
        return replace(
            better,
            peak_mib=first.peak_mib,
            host_mib=first.host_mib,
            hot_us=first.hot_us,
            rough_startups_us=first.rough_startups_us,
            rough_warmups_us=first.rough_warmups_us,
            contentions=better.contentions or first.contentions,
            decodings=better.decodings or first.decodings,
        )

    @property
    def counted_by_profile(self) -> list[Measurements]:
        """What each profile is made of: that of each GPU, in the order of the layout's slices, or that of the cores."""
        if not self.is_gpu:
            return [self.counted]
        return [self.counted.of_device(number, self.slices) for number in range(self.slices)]

    @property
    def missing(self) -> int:
        """How many groups the profile lacks."""
        return max(0, ENOUGH_GROUPS - len(self.counting))

    @property
    def disturbance(self) -> float:
        """The most cores that other programs used during a group."""
        return max(group.foreign_cores for group in self.every)

    @property
    def is_disturbed(self) -> bool:
        """Whether the profile is made of disturbed groups, too, if only for the contention."""
        quiet = self.quiet
        return len(self.counting) > len(quiet) or bool(self.found.contentions and not self.quiet_found.contentions)


def _merge(groups: Sequence[MeasuredGroup]) -> Measurements:
    merged = Measurements(group_size=groups[0].found.group_size) if groups else Measurements()
    for group in groups:
        merged.add(group.found)
    return merged
