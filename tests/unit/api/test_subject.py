"""Subjects: what profiles and jobs are matched by, how they are worded, and the classes of slow nodes."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.gpu_profile import parse_profile
from dueby_api.inference_job import Model
from dueby_api.subject import (
    ModelSubject,
    Subject,
    class_of,
    model_subject,
    node_of,
    own_class,
    profile_subject,
)
from support.planner import A100, profile_document

ABOUT = ModelSubject(model="efficientnet_b0", image_size=224, precision="fp32", engine="cudagraph")


def test_a_profile_is_about_its_class_model_size_precision_and_engine() -> None:
    spec = parse_profile(profile_document()).spec
    assert profile_subject(spec) == Subject(device_class=A100, about=ABOUT)
    assert profile_subject(spec).parts == (A100, "efficientnet_b0", "224", "fp32", "cudagraph")


def test_a_job_asks_for_its_model_and_nothing_else_of_it() -> None:
    assert model_subject(Model(engine="cudagraph")) == ABOUT
    assert model_subject(Model(weights="other", engine="cudagraph")) == ABOUT


@pytest.mark.parametrize(
    ("asked", "changes", "is_admitted"),
    [
        pytest.param("cudagraph", {}, True, id="the same"),
        pytest.param("auto", {}, True, id="any engine, with auto"),
        pytest.param("auto", {"engine": "eager"}, True, id="any other engine, with auto"),
        pytest.param("eager", {}, False, id="another engine"),
        pytest.param("auto", {"model": "resnet50"}, False, id="another model"),
        pytest.param("auto", {"image_size": 256}, False, id="another image size"),
        pytest.param("auto", {"precision": "fp16"}, False, id="another precision"),
    ],
)
def test_a_job_admits_profiles_of_all_that_it_names(asked: Any, changes: dict[str, Any], is_admitted: bool) -> None:
    assert model_subject(Model(engine=asked)).admits(replace(ABOUT, **changes)) is is_admitted


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ("cudagraph", "efficientnet_b0 at 224 px, fp32, engine cudagraph"),
        ("auto", "efficientnet_b0 at 224 px, fp32"),
    ],
)
def test_the_sentence_names_the_engine_unless_any_will_do(engine: Any, sentence: str) -> None:
    assert replace(ABOUT, engine=engine).sentence == sentence


def test_the_text_is_one_word_that_tells_every_subject_apart() -> None:
    assert str(ABOUT) == "efficientnet_b0-224-fp32-cudagraph"


def test_a_subject_can_be_had_of_another_class_or_size() -> None:
    subject = Subject(device_class=A100, about=ABOUT)
    assert subject.of_class("L4") == Subject(device_class="L4", about=ABOUT)
    assert subject.of_size(256) == Subject(device_class=A100, about=replace(ABOUT, image_size=256))


def test_subjects_are_ordered_by_class_and_then_by_model() -> None:
    small, large, other = (
        Subject(device_class=name, about=replace(ABOUT, image_size=size))
        for name, size in (("a", 96), ("a", 224), ("b", 64))
    )
    assert sorted([other, large, small]) == [small, large, other]


def test_a_slow_node_s_own_class_is_taken_apart_again() -> None:
    slow = own_class(A100, "node-a")
    assert slow == f"{A100}@node-a"
    assert (class_of(slow), node_of(slow)) == (A100, "node-a")
    assert own_class(A100, "") == A100
    assert (class_of(A100), node_of(A100)) == (A100, "")
