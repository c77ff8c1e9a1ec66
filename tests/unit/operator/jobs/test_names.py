"""Names of a job's objects: valid, short enough, and different for what is different."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dueby_operator.jobs.names import workers_name

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@given(st.integers(1, 999_999), st.text(min_size=1, max_size=128))
def test_a_workers_name_is_a_valid_label(revision: int, device_class: str) -> None:
    name = workers_name("j" * 40, revision, device_class)
    assert len(name) <= 63
    assert NAME.fullmatch(name.rstrip("-"))


def test_classes_that_differ_only_at_the_end_have_different_names() -> None:
    names = {workers_name("job", 1, f"NVIDIA-A100-SXM4-{size}GB") for size in (40, 80)}
    assert len(names) == 2
    assert workers_name("job", 2, "cpu-4") == "job-r2-cpu-4"
