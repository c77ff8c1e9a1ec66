"""How many images of a job may fail."""

from typing import Any

import pytest

from dueby_api.inference_job import InferenceJob, parse_job


def job(**spec: Any) -> InferenceJob:
    document = {"deadline": "10m", "source": {"uri": "photos"}, "sink": {"uri": "rows"}, **spec}
    kind = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "photos"}}
    return parse_job({**kind, "spec": document})


@pytest.mark.parametrize(
    ("limit", "allowed"), [("1%", 12), ("0%", 0), ("100%", 1_234), ("0.1%", 1), (5, 5), (0, 0)], ids=str
)
def test_failed_images_are_allowed_as_a_share_or_a_number(limit: str | int, allowed: int) -> None:
    assert job(maxFailedImages=limit).spec.allowed_failures(1_234) == allowed


@pytest.mark.parametrize(
    ("images", "allowed"), [(0, 0), (1, 0), (2, 1), (19, 9), (106, 10), (1_000, 10), (1_234, 12), (10**6, 10_000)]
)
def test_a_small_folder_may_have_a_few_damaged_files_unless_the_job_says_otherwise(images: int, allowed: int) -> None:
    assert job().spec.allowed_failures(images) == allowed


TWO_OF_106 = "2 of 106 images (1.9 %) have an error, and spec.maxFailedImages"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        pytest.param("1%", f"{TWO_OF_106} allows 1 (1%).", id="a share"),
        pytest.param(1, f"{TWO_OF_106} allows 1.", id="a number"),
        pytest.param(2, "", id="allowed"),
        pytest.param(None, "", id="allowed by default"),
    ],
)
def test_too_many_failed_images_are_counted_beside_what_is_allowed(limit: str | int | None, said: str) -> None:
    assert job(maxFailedImages=limit).spec.why_too_many(images=106, failed=2) == said


def test_a_share_of_failed_images_is_exact_where_a_float_is_one_short() -> None:
    assert int(100_000 * 2.3 / 100) == 2_299
    assert job(maxFailedImages="2.3%").spec.allowed_failures(100_000) == 2_300
