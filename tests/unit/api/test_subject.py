"""Subjects: what profiles and jobs are matched by, how they are worded, and the classes of slow nodes."""

import re
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.classifiers import plain_name
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
from dueby_operator.jobs.names import profile_object_name
from support.planner import A100, profile_document

ABOUT = ModelSubject(model="efficientnet_b0", image_size=224, precision="fp32", engine="cudagraph")


def test_a_profile_is_about_its_class_model_size_precision_and_engine() -> None:
    spec = parse_profile(profile_document()).spec
    assert profile_subject(spec) == Subject(device_class=A100, about=ABOUT)
    assert profile_subject(spec).parts == (A100, "efficientnet_b0", "224", "fp32", "cudagraph")


def test_the_names_of_two_models_stay_two_where_signs_are_lost() -> None:
    names = ["hf/a/b-c", "hf/a-b/c", "hf/a.b/c", "hf/A-b/c", "timm/resnet18.a1_in1k", "timm/resnet18", "resnet18"]
    parts = [Subject(device_class=A100, about=replace(ABOUT, model=name)).parts for name in names]
    objects = [profile_object_name(*part) for part in parts]

    assert len(set(objects)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in objects)
    assert "timm-resnet18-a1-in1k-224-fp32" in objects[4]
    assert "/" not in "".join(plain_name(name) for name in names)


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
