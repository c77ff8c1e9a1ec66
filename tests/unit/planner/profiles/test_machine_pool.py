"""The pool of one machine: its GPUs, or one layout of its cores, the fastest."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, images_per_second
from dueby_api.inference_job import Model
from dueby_planner.profiles.machine_pool import machine_pool
from support.planner import profile, step_document


def slices(device_class: str, count: int | None, *, images_per_s: int, **spec: Any) -> GPUProfile:
    """Return CPU slices that each do so many images a second."""
    step = step_document(10, 10 * 1_000_000 // images_per_s, 5)
    fields = {"engine": "openvino", "device": {"slices": count} if count else {}, "steps": [step]} | spec
    return profile(name=f"{device_class}-{fields['engine']}", device_class=device_class, **fields)


def gpu(uuid: str, device_class: str = "L4") -> GPUProfile:
    """Return one GPU of the machine."""
    return profile(name=uuid, device_class=device_class, device={"node": "here", "uuid": uuid})


@pytest.mark.parametrize(
    ("ones", "fastest"),
    [pytest.param(8, {"cpu-2": 4}, id="4 x 25 against 8 x 10"), pytest.param(16, {"cpu-1": 16}, id="against 16 x 10")],
)
def test_of_several_layouts_the_fastest_is_the_pool(ones: int, fastest: dict[str, int]) -> None:
    layouts = [slices("cpu-1", ones, images_per_s=10), slices("cpu-2", 4, images_per_s=25)]
    assert machine_pool(layouts, Model()) == fastest


def test_the_fastest_engine_of_a_layout_speaks_for_it() -> None:
    layouts = [
        slices("cpu-1", 8, images_per_s=10),
        slices("cpu-2", 4, images_per_s=15),
        slices("cpu-2", 4, images_per_s=25, engine="eager"),
    ]
    assert machine_pool(layouts, Model()) == {"cpu-2": 4}


def test_layouts_are_compared_at_their_best_mini_batch_size() -> None:
    steps = [step_document(1, 1_000_000, 5), step_document(8, 1_000_000, 5), step_document(16, 4_000_000, 5)]
    assert images_per_second(profile(steps=steps).spec) == 8


def test_an_engine_that_the_job_names_decides_alone() -> None:
    layouts = [slices("cpu-1", 8, images_per_s=10), slices("cpu-2", 4, images_per_s=25, engine="eager")]
    assert machine_pool(layouts, Model(engine="openvino")) == {"cpu-1": 8}


def test_where_there_are_gpus_they_are_the_pool() -> None:
    profiles = [gpu("GPU-1"), slices("cpu-1", 64, images_per_s=1_000), gpu("GPU-2"), gpu("GPU-3", "T4")]
    assert machine_pool(profiles, Model()) == {"L4": 2, "T4": 1}


def test_the_job_s_classes_leave_the_others_out() -> None:
    profiles = [gpu("GPU-1"), slices("cpu-1", 8, images_per_s=10)]
    assert machine_pool(profiles, Model(), classes=["cpu-1"]) == {"cpu-1": 8}


@pytest.mark.parametrize(
    ("profiles", "classes", "sentence"),
    [
        pytest.param(
            [],
            (),
            "profiles: No profile of efficientnet_b0 at 224 px, fp32; there are no profiles at all. Run: dueby profile "
            "--model efficientnet_b0",
            id="nothing was profiled",
        ),
        pytest.param(
            [slices("cpu-1", 8, images_per_s=10)],
            ("L4",),
            "spec.gpus.classes: No profile for device class L4; there are profiles of cpu-1. Name one of these, or "
            "run: dueby profile --model efficientnet_b0",
            id="the job's classes were not",
        ),
        pytest.param(
            [slices("cpu-1", None, images_per_s=10)],
            (),
            "--pool: is missing: the profiles of cpu-1 do not say how many devices there are. Give CLASS=COUNT.",
            id="nobody knows how many",
        ),
    ],
)
def test_a_machine_whose_pool_is_unknown_is_refused_in_a_sentence(
    profiles: list[GPUProfile], classes: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(Invalid) as error:
        machine_pool(profiles, Model(), classes=classes)
    assert str(error.value) == sentence
