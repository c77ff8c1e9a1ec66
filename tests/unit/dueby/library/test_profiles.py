"""What a notebook shows of profiles. (That a machine is measured is in tests/integration/test_notebook.py.)"""

from pathlib import Path

import pytest

import dueby
from dueby_api.errors import Invalid
from support.planner import A100, profile
from support.report_page import Elements, framed_page, words_of


def test_a_notebook_shows_each_profile_as_a_table_and_a_chart() -> None:
    page = framed_page(dueby.Profiles([profile(maxMiniBatchSize=256), profile(name="b", maxMiniBatchSize=256)]))
    assert f"{A100}: efficientnet_b0, 224 px" in words_of(page)
    assert "BATCH STEP L P95 IMAGES/S" in words_of(page)
    charts = [attributes for name, attributes in Elements(page).found if name == "svg" and "aria-label" in attributes]
    assert [chart["aria-label"] for chart in charts] == ["Images per second by mini-batch size"] * 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"precision": "int4"}, "the model: precision: must be one of"),
        ({"image_size": 0}, "the model: imageSize: must be"),
    ],
)
def test_what_no_job_could_ask_for_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        dueby.profile("efficientnet_b0", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"folder": "/proc/profiles"}, {}], ids=["named", "usual"])
def test_a_folder_that_can_not_be_written_to_is_called_by_what_has_named_it(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUEBY_PROFILES", "/proc/profiles")
    with pytest.raises(Invalid, match="^folder: /proc" if options else "^DUEBY_PROFILES: /proc"):
        dueby.profile("efficientnet_lite0", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "shown"), [(3, "3"), (None, "None"), (Path("resnet50"), "resnet50")])
def test_a_model_is_called_by_a_text(model: object, shown: str) -> None:
    with pytest.raises(Invalid, match=f"^the model: name: must be a text, but is .*{shown}"):
        dueby.profile(model)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "there is no module nowhere"),
        ({"weights": "none"}, "the model: weights: the function makes the weights, too; leave weights out"),
    ],
)
def test_a_function_is_measured_with_its_own_weights(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        dueby.profile("python/nowhere:make", **options)  # type: ignore[arg-type]
