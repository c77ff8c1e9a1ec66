"""Which groups of processes a profile is made of: the quiet ones, or all if too few are quiet."""

from dueby_profiler.analysis.groups import MeasuredGroups
from dueby_profiler.presets import ENOUGH_GROUPS
from support.profiler import a_point


def test_with_two_quiet_groups_the_disturbed_ones_count_too() -> None:
    groups = groups_of([0.0, 0.0, 2.0])
    assert groups.is_disturbed
    assert groups.counted.group_means_us(8) == {0: 1000, 1: 1000, 2: 2000}
    assert groups.missing == ENOUGH_GROUPS - 3


def test_with_three_quiet_groups_they_alone_count() -> None:
    groups = groups_of([0.0, 0.0, 2.0, 0.15])
    assert not groups.is_disturbed
    assert groups.counted.group_means_us(8) == {0: 1000, 1: 1000, 3: 1000}
    assert groups.missing == ENOUGH_GROUPS - 3


def test_a_slow_group_that_nobody_is_seen_to_disturb_counts() -> None:
    groups = groups_of([0.0] * 4)
    groups.begin().found.add_steady(4, [a_point(starts_us=0, durations_us=[9000] * 10)])
    assert len(groups.counting) == 5
    assert groups.counted.group_means_us(8)[4] == 9000


def test_memory_is_that_of_disturbed_groups_too() -> None:
    groups = groups_of([0.0, 0.0, 0.0, 2.0])
    groups.every[-1].found.peak_mib[64].append(900)
    assert groups.counted.peak_mib == {64: [900]}


def test_contention_that_was_measured_in_no_quiet_group_makes_a_profile_disturbed() -> None:
    groups = groups_of([0.0, 0.0, 0.0, 2.0])
    groups.every[3].found.contentions.append(1.7)
    assert groups.counted.contentions == [1.7]
    assert groups.is_disturbed
    groups.every[0].found.contentions.append(1.2)
    assert groups.counted.contentions == [1.2]
    assert not groups.is_disturbed


def groups_of(foreign_cores: list[float]) -> MeasuredGroups:
    """Return groups of one process, disturbed by so many cores; a disturbed one takes twice as long."""
    groups = MeasuredGroups(slices=1, is_gpu=False, allowed_cores=0.15)
    for number, cores in enumerate(foreign_cores):
        group = groups.begin()
        group.foreign_cores = cores
        group.found.add_steady(number, [a_point(starts_us=0, durations_us=[2000 if cores > 0.15 else 1000] * 10)])
    return groups
