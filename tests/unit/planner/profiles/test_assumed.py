"""Profiles of published figures: a plan says what it assumes, and what was measured takes their place."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_planner.profiles.pool import Pool, build_pool
from support.planner import A100, job, profile


def pool(*profiles: GPUProfile) -> Pool:
    """Return the pool of a job on four devices."""
    return build_pool(job().spec, profiles, {A100: 4})


def assumed(**spec: Any) -> GPUProfile:
    """Return a profile that was derived from a published figure."""
    return profile(name="published", assumed=True, source="a table, MIT", startupMicros=None, spread=None, **spec)


def test_of_an_assumed_profile_a_plan_says_all_that_it_assumes_in_one_warning() -> None:
    (warning,) = pool(assumed()).warnings
    assert warning.startswith("published is assumed, and was not measured. Its steps are from a table, MIT;")


def test_what_was_measured_takes_the_place_of_what_is_assumed() -> None:
    both = pool(assumed(), profile(name="measured"))
    assert {choice.profile for choice in both.groups[0].choices} == {"measured"}
    assert not both.warnings


def test_an_assumed_profile_says_where_its_figures_are_from() -> None:
    with pytest.raises(Invalid, match="source: is missing; say where"):
        profile(assumed=True)
