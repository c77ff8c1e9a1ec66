"""What a row holds: which fields each kind has, and what is said if they don't fit."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import parse_job
from dueby_api.output import OUTPUT_FIELDS, Output

GOOD: dict[str, Any] = {"deadline": "10m", "source": {"uri": "photos"}, "sink": {"uri": "rows"}}
NSFW = {"label": "nsfw", "above": 0.8}
VALUES: dict[str, Any] = {"k": 3, "threshold": NSFW, "layer": "layer4", "dtype": "float16", "normalize": True}


def parse(**output: Any) -> Output:
    spec = GOOD | {"output": output}
    document = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "a"}, "spec": spec}
    return parse_job(document).spec.output


def test_a_job_that_says_nothing_gets_the_five_best_classes() -> None:
    assert parse().is_usual
    assert parse(kind="TopK", k=5).is_usual
    assert parse().resolved == Output(kind="TopK", k=5)
    assert not parse(k=6).is_usual
    assert not parse(threshold=NSFW).is_usual
    assert not parse(kind="Probabilities").is_usual


@pytest.mark.parametrize("kind", OUTPUT_FIELDS)
@pytest.mark.parametrize("field", VALUES)
def test_each_kind_has_its_own_fields_alone(kind: str, field: str) -> None:
    owner = next(name for name, fields in OUTPUT_FIELDS.items() if field in fields)
    if kind == owner:
        assert parse(kind=kind, **{field: VALUES[field]}).document()[field] == VALUES[field]
        return
    with pytest.raises(Invalid) as refused:
        parse(kind=kind, **{field: VALUES[field]})
    assert str(refused.value) == (
        f"spec.output.{field}: only the kind {owner} has it; leave it out, or set kind to {owner}"
    )


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        pytest.param({"k": 0}, "spec.output.k: must be an integer of at least 1, but is 0", id="no class"),
        pytest.param({"k": 101}, "spec.output.k: must be an integer of at most 100, but is 101", id="too many classes"),
        pytest.param({"kind": "Caption"}, "spec.output.kind: must be one of", id="another kind"),
        pytest.param({"kind": "Embedding", "dtype": "int8"}, "spec.output.dtype: must be one of", id="another type"),
        pytest.param({"threshold": {"label": "a"}}, "spec.output.threshold.above: is missing", id="half a threshold"),
        pytest.param(
            {"threshold": NSFW | {"above": 80}},
            "spec.output.threshold.above: must be a number below 1.0, but is 80",
            id="a threshold that nothing is above",
        ),
        pytest.param({"kind": "Embedding", "size": 3}, "spec.output.size: there is no such field", id="another field"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(output: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(**output)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({}, "the top 5"),
        ({"k": 1}, "the top 1"),
        ({"k": 2, "threshold": NSFW}, "the top 2, and whether nsfw is above 0.8"),
        ({"kind": "Probabilities"}, "all probabilities"),
        ({"kind": "Embedding"}, "an embedding in float32"),
        (
            {"kind": "Embedding", "layer": "layer4", "dtype": "float16", "normalize": True},
            "a normalized embedding of layer4 in float16",
        ),
    ],
)
def test_an_output_has_words_for_sentences(output: dict[str, Any], words: str) -> None:
    assert parse(**output).words == words
