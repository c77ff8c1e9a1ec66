"""On which devices workers are started before there is a plan."""

from pathlib import Path
from typing import Any

import pytest

from dueby.local import early_workers
from dueby.local.early_workers import first_devices
from dueby.local.this_machine import LocalPool, Slot
from dueby_api.gpu_profile import parse_profile
from support.planner import job, profile_document, step_document

SECOND = 1_000_000
SLICES = 4


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of many cores, on which no model is known."""
    monkeypatch.setattr(early_workers, "usable_cores", lambda: 64)
    monkeypatch.setattr(early_workers, "cache_folder", lambda: tmp_path)


def pool() -> LocalPool:
    """Slices that do 80 images a second each."""
    model = {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp32"}
    profile = profile_document(
        name="cpu-1",
        device_class="cpu-1",
        model=model,
        engine="openvino",
        device={"threads": 1, "slices": SLICES},
        steps=[step_document(8, 100_000, 100_000)],
    )
    slots = tuple(Slot(name=f"cpu-1/{place}", device_class="cpu-1", threads=1) for place in range(SLICES))
    return LocalPool(profiles=(parse_profile(profile),), counts={"cpu-1": SLICES}, slots=slots)


def early(images: int | None, *, time_s: int = 60, model: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """The slots of the early workers."""
    wanted = {"name": "efficientnet_b0", "weights": "none"} | (model or {})
    found = first_devices(job(model=wanted, **spec), pool(), images=images, time_us=time_s * SECOND)
    assert {engine for _, engine in found} <= {"openvino"}
    return [slot.name for slot, _ in found]


def test_one_where_nobody_knows_how_many_images_there_are() -> None:
    assert early(None) == ["cpu-1/0"]


def test_as_many_as_the_plan_has_where_n_is_known() -> None:
    assert early(100) == ["cpu-1/0"]
    assert early(10_000) == ["cpu-1/0", "cpu-1/1", "cpu-1/2"]


def test_a_job_that_is_late_already_has_all_that_make_it_less_late() -> None:
    assert early(10_000, time_s=-1) == [f"cpu-1/{place}" for place in range(SLICES)]
    assert early(None, time_s=-1) == ["cpu-1/0"]
    assert early(10_000, time_s=-1, deadlineClass="Hard") == early(None, time_s=-1, deadlineClass="Hard") == []


def test_the_index_step_has_a_core_to_itself_if_there_is_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_workers, "usable_cores", lambda: 2)
    assert early(10_000) == ["cpu-1/0"]
    monkeypatch.setattr(early_workers, "usable_cores", lambda: 1)
    assert early(10_000) == ["cpu-1/0"]


@pytest.mark.parametrize(
    ("images", "spec"),
    [
        pytest.param(0, {}, id="every part is there"),
        pytest.param(1_000_000, {"deadlineClass": "Hard"}, id="the plan will be refused"),
        pytest.param(1_000, {"source": {"synthetic": {}}}, id="there is no index step"),
        pytest.param(1_000, {"model": {"weights": "DEFAULT"}}, id="the index step may have to fetch the weights"),
    ],
)
def test_none_where_none_is_surely_needed_or_nothing_is_gained(images: int, spec: dict[str, Any]) -> None:
    assert early(images, **spec) == []


def test_weights_in_a_file_and_models_whose_library_fetches_once_are_loaded_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.pth").touch()
    assert early(100, model={"weights": str(tmp_path / "own.pth")})
