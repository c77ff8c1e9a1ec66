"""The lanes of the end-to-end tests keep to themselves."""

import re
from collections import defaultdict

from support.lanes import E2E, lane_of

_CLASS = re.compile(r'"(NVIDIA-[A-Za-z0-9.-]+)"')


def test_no_class_of_gpus_is_used_in_two_lanes() -> None:
    """The end of one test deletes its class's profile, while a test of another lane runs."""
    lanes: defaultdict[str, set[int]] = defaultdict(set)
    for path in sorted(E2E.glob("test_*.py")):
        for name in _CLASS.findall(path.read_text()):
            lanes[name].add(lane_of(path.stem))
    assert len(lanes) > 5
    assert not {name: sorted(found) for name, found in lanes.items() if len(found) > 1}
