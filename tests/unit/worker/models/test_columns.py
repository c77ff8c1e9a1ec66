"""Columns from arrays: those of torch, and of equal scores the class with the lower number first."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dueby_api.output import Output, Threshold
from dueby_worker.engines.network import columns_from
from dueby_worker.models.columns import columns_from_array, rule_of

LABELS = tuple(map(str, range(40)))
# Few different values, so that there are equal ones among the best and just below them.
VALUES = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(40)), elements=st.integers(-3, 3).map(float))


@given(VALUES, st.integers(1, 40))
def test_the_best_classes_are_those_of_all_sorted(values: Any, k: int) -> None:
    columns = columns_from_array(values, rule_of(Output(k=k), LABELS, are_probabilities=True))

    assert columns["classes"].tolist() == np.argsort(-values, axis=1, kind="stable")[:, :k].tolist()
    assert columns["scores"].tolist() == (-np.sort(-values, axis=1))[:, :k].tolist()


@pytest.mark.parametrize(
    "output",
    [
        Output(k=5),
        Output(k=1, threshold=Threshold(label="7", above=0.02)),
        Output(kind="Probabilities"),
        Output(kind="Embedding"),
        Output(kind="Embedding", normalize=True),
        Output(kind="Embedding", dtype="float16"),
    ],
    ids=lambda output: output.words,
)
def test_they_are_those_of_torch(output: Output) -> None:
    values = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    values[1] = 0 if output.kind == "Embedding" else values[1]
    rule = rule_of(output.resolved, LABELS, are_probabilities=False)

    columns, expected = columns_from_array(values, rule), columns_from(torch.from_numpy(values), rule)

    assert columns.keys() == expected.keys()
    for name, column in columns.items():
        assert column.dtype == expected[name].numpy().dtype
        assert np.allclose(column, expected[name].numpy(), atol=1e-6)
