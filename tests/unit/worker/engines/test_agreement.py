"""What is counted of photos that an engine and plain fp32 classify."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dueby_api.engines import EngineName, Precision
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.engines.agreement import Photo, measure_agreement
from dueby_worker.engines.build import build_engine
from dueby_worker.models.columns import Columns
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.models.preprocessing import Pixels
from support.models import loaded, photo

CAT = "file:///photos/Egyptian%20cat/chelsea.png"
COFFEE = "s3://bucket/photos.tar#cup/coffee.png"
ELSEWHERE = "file:///photos/0.png"


def model() -> LoadedModel:
    return loaded("efficientnet_lite0", weights="DEFAULT", image_size=224)


def photos() -> list[Photo]:
    preprocessing = model().preprocessing
    cat, coffee = (photo(name, preprocessing)[0] for name in ("chelsea.png", "coffee.png"))
    return [(CAT, cat), (COFFEE, coffee), (ELSEWHERE, cat)]


class FixedEngine:
    """Says the same of every photo, and keeps what it was given."""

    name: EngineName = "eager"
    precision: Precision = "bf16"
    depth = 1

    def __init__(self, label: str, *, score: float = 0.5) -> None:
        self.best, self.score = model().labels.index(label), score
        self.batches: list[NDArray[np.uint8]] = []

    def buffer(self) -> Pixels:
        return np.empty((2, 224, 224, 3), dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        self.batches.append(batch.copy())

    def collect(self) -> Columns:
        scores = np.full((2, 1), self.score, dtype=np.float32)
        return {"classes": np.full((2, 1), self.best, dtype=np.int32), "scores": scores}

    def close(self) -> None:
        self.batches.clear()


def test_embeddings_are_counted_by_their_cosines_with_those_of_fp32() -> None:
    model = Model(name="efficientnet_lite0", weights="DEFAULT", image_size=224)
    given = load_model(model, Output(kind="Embedding"))
    engine = build_engine(name="eager", loaded=given, mini_batch_size=2, precision="fp32", threads=1)
    found = measure_agreement(engine, given, photos())
    assert found is not None
    assert (found.photos, found.same_top1, found.weights_digest) == (3, None, given.weights_digest)
    assert found.similarity == pytest.approx(1, abs=1e-5)
    assert found.closeness == found.similarity
    assert found.sentence == "embeddings of 3 photos have a mean cosine of 1.0000 with fp32's, at least 1.0000"


def test_an_engine_at_fp32_agrees_with_plain_fp32() -> None:
    engine = build_engine(name="eager", loaded=model(), mini_batch_size=2, precision="fp32", threads=1)
    found = measure_agreement(engine, model(), photos())
    assert found is not None
    assert (found.photos, found.same_top1, found.weights_digest) == (3, 1.0, model().weights_digest)
    assert found.max_difference is not None
    assert found.max_difference < 1e-4
    # Photos in folders that are called by a label: the cat is one, and the espresso is no cup.
    assert (found.labelled, found.accuracy, found.accuracy_fp32) == (2, 0.5, 0.5)


def test_other_answers_are_counted_and_so_is_what_they_cost() -> None:
    found = measure_agreement(FixedEngine("cup"), model(), photos())
    assert found is not None
    assert (found.photos, found.same_top1) == (3, 0.0)
    assert (found.labelled, found.accuracy, found.accuracy_fp32) == (2, 0.5, 0.5)
    assert "0.0% of 3 photos have fp32's best class" in found.sentence
    assert "of 2 labelled photos 50.0% are right (fp32: 50.0%)" in found.sentence


def test_without_a_folder_that_is_called_by_a_label_nothing_is_said_of_accuracy() -> None:
    found = measure_agreement(FixedEngine("tabby"), model(), [(ELSEWHERE, pixels) for _, pixels in photos()])
    assert found is not None
    assert (found.labelled, found.accuracy, found.accuracy_fp32) == (None, None, None)
    assert "labelled" not in found.sentence


def test_a_probability_that_is_no_number_is_no_small_difference() -> None:
    found = measure_agreement(FixedEngine("tabby", score=float("nan")), model(), photos())
    assert found is not None
    assert found.max_difference is None


def test_no_photo_after_the_time_is_over_is_begun() -> None:
    engine = FixedEngine("tabby")
    found = measure_agreement(engine, model(), photos(), is_over=lambda: True)
    assert found is not None
    assert (found.photos, len(engine.batches)) == (2, 1)


@pytest.mark.parametrize("given", [[], ()], ids=["a list", "a tuple"])
def test_of_no_photos_nothing_is_said(given: list[Photo]) -> None:
    assert measure_agreement(FixedEngine("tabby"), model(), given) is None
