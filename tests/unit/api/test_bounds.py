"""What comes from outside is bounded: every number, every text of a step's words, and how deep anything is nested."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import JobSpec
from dueby_api.input_cost import InputCost
from dueby_api.plan import PlannedWorker
from dueby_api.schema import Meta, Spec, decode, specs_within, validate
from dueby_api.step_config import FinishConfig, IndexConfig, ProfileConfig, WorkConfig
from dueby_api.step_messages import (
    FinishResult,
    IndexResult,
    OnceProgress,
    ProfilingProgress,
    ProfilingResult,
    SinkParts,
    StepError,
    WorkerProgress,
    WorkResult,
)

MESSAGES = (
    FinishResult,
    IndexResult,
    InputCost,
    OnceProgress,
    ProfilingProgress,
    ProfilingResult,
    SinkParts,
    StepError,
    WorkerProgress,
    WorkResult,
)
BOUNDED = (JobSpec, ProfileSpec, PlannedWorker, FinishConfig, IndexConfig, ProfileConfig, WorkConfig, *MESSAGES)
WORDS = ["progress", "images", "fingerprint", "inputCost", "profile", "runs", "rows", "errors", "share", "worker"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner),
    max_leaves=20,
)


def numbers(annotation: Any, bounds: tuple[Meta, ...] = ()) -> Iterator[tuple[type, tuple[Meta, ...]]]:
    """Each int, float and str in an annotation, with what bounds it."""
    if annotation in (int, float, str):
        yield annotation, bounds
    args = get_args(annotation)
    own = tuple(found for found in args if isinstance(found, Meta))
    for inner in args:
        yield from numbers(inner, own)


def unbounded(kind: type[Spec], *types: type) -> list[str]:
    """The fields of the class that have no upper bound."""
    return [
        f"{kind.__name__}.{found.name}"
        for found in msgspec.structs.fields(kind)
        for of, bounds in numbers(found.type)
        if of in types and not any((b.le, b.lt, b.max_length, b.pattern) != (None,) * 4 for b in bounds)
    ]


@pytest.mark.parametrize("kind", BOUNDED, ids=lambda kind: kind.__name__)
def test_every_number_is_bounded(kind: type[Spec]) -> None:
    found = [name for spec in specs_within(kind) for name in unbounded(spec, int, float)]
    # Amounts are bounded where they are read (dueby_api/quantities.py).
    assert {name.partition(".")[0] for name in found} <= {"WorkerResources"}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_text_of_a_step_is_bounded(kind: type[Spec]) -> None:
    assert not [name for spec in specs_within(kind) for name in unbounded(spec, str)]


@given(JSON)
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_any_words_are_a_message_or_refused(kind: type[Spec], words: Any) -> None:
    try:
        found = validate(kind, words)
    except Invalid:
        return
    assert decode(kind, msgspec.json.encode(found)) == found


@given(st.binary() | st.text() | JSON.map(msgspec.json.encode))
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_any_bytes_are_a_message_or_refused(kind: type[Spec], data: bytes | str) -> None:
    try:
        decode(kind, data)
    except Invalid:
        return


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 4000, id="lists without an end"),
        pytest.param('{"progress":' * 4000, id="mappings without an end"),
        pytest.param('{"batches": ' + "[" * 900 + "]" * 900 + "}", id="lists in a number's place"),
        pytest.param('{"batches": NaN}', id="no number"),
        pytest.param('{"batches": Infinity}', id="infinity"),
        pytest.param('{"imagesPerSecond": 1e999}', id="beyond a double"),
        pytest.param('{"batches": 9223372036854775808}', id="beyond 64 bits"),
        pytest.param(f'{{"batches": {"9" * 5000}}}', id="thousands of digits"),
        pytest.param('{"worker": "\\ud800"}', id="half a character"),
        pytest.param(b'{"worker": "\xed\xa0\x80"}', id="half a character in bytes"),
        pytest.param(f'{{"worker": "{"w" * 257}"}}', id="a long name"),
        pytest.param('{"state": "asleep"}', id="a state that there isn't"),
    ],
)
def test_progress_that_makes_no_sense_is_refused(text: str | bytes) -> None:
    with pytest.raises(Invalid):
        decode(WorkerProgress, text)


def test_what_is_wrong_is_refused_however_deep_or_long_it_is() -> None:
    deep: Any = 1
    for _ in range(3000):
        deep = {"a": deep}
    for wrong in (deep, 10**5000, "x" * 1000):
        with pytest.raises(Invalid) as caught:
            validate(WorkerProgress, {"batches": wrong})
        assert len(str(caught.value)) < 200


def test_a_value_that_is_there_a_thousand_million_times_is_shown_by_its_beginning() -> None:
    bomb: Any = ["x"] * 10
    for _ in range(8):
        bomb = [bomb] * 10
    with pytest.raises(Invalid, match=r"^batches: must be an integer"):
        validate(WorkerProgress, {"batches": bomb})
    with pytest.raises(Invalid, match=r"but is \[0, 1, 2, 3, 4, 5, \.\.\.\]$"):
        validate(WorkerProgress, {"batches": list(range(1000))})
