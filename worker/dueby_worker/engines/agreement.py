"""Measure how often an engine gives the best class of plain fp32 on photos, and how often either is right; of
embeddings, how near they are to plain fp32's.

parity.py asks on a few images whether an engine does what it should, within a tolerance. This asks what a precision
costs, so it takes many photos and has no tolerance: one whose two best classes are nearly equal counts like any other.
What is right is known of photos that lie in folders which are called by the model's labels, as data sets have them.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from urllib.parse import unquote

import numpy as np
import torch
from torch.nn import functional

from dueby_api.agreement import Agreement
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.network import Network, columns_from, probabilities_from
from dueby_worker.models.columns import Columns, RowRule
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels

Photo = tuple[str, Pixels]
"""A photo's URI and its pixels as an engine takes them."""


def measure_agreement(
    engine: Engine, loaded: LoadedModel, photos: Iterable[Photo], *, is_over: Callable[[], bool] = lambda: False
) -> Agreement | None:
    """Return how far the engine is from plain fp32 on the photos; None if there are none.

    The model's output must be the best classes or embeddings, and nothing may be in flight. It stops after the
    mini-batch with which `is_over` becomes true.
    """
    network = Network(loaded.module, loaded.preprocessing).eval()
    tally = _Vectors(rule=loaded.rule) if loaded.output.kind == "Embedding" else _Classes.of(loaded)
    batch, uris = engine.buffer(), list[str]()

    def classify() -> None:
        engine.submit(batch)
        columns = engine.collect()
        with torch.inference_mode():
            values = network(torch.from_numpy(batch[: len(uris)]))
        tally.add(uris, values, columns)
        uris.clear()

    batch[...] = 0
    for uri, pixels in photos:
        batch[len(uris)] = pixels
        uris.append(uri)
        if len(uris) == len(batch):
            classify()
            if is_over():
                break
    if uris:
        classify()
    return tally.agreement(loaded.weights_digest) if tally.photos else None


@dataclass(kw_only=True)
class _Classes:
    """What is counted of best classes."""

    rule: RowRule
    class_of: dict[str, int]
    """The model's classes by their labels."""
    photos: int = 0
    same: int = 0
    differences: list[float] = field(default_factory=list)
    labelled: int = 0
    right: int = 0
    right_fp32: int = 0

    @classmethod
    def of(cls, loaded: LoadedModel) -> "_Classes":
        """Return that nothing was counted yet of this model."""
        return cls(rule=loaded.rule, class_of={label: number for number, label in enumerate(loaded.labels)})

    def add(self, uris: list[str], values: torch.Tensor, columns: Columns) -> None:
        """Count photos, of which plain fp32 gives these values. `columns` may have more rows."""
        expected = probabilities_from(values, self.rule).numpy()
        for row, uri in enumerate(uris):
            best, plain_best = int(columns["classes"][row, 0]), int(expected[row].argmax())
            self.photos += 1
            self.same += best == plain_best
            self.differences.append(abs(float(columns["scores"][row, 0]) - float(expected[row, best])))
            if (label := self.class_of.get(_folder_of(uri))) is not None:
                self.labelled += 1
                self.right += best == label
                self.right_fp32 += plain_best == label

    def agreement(self, weights_digest: str) -> Agreement:
        # NumPy's max is no number if one of the differences is none. JSON and Kubernetes take finite numbers only.
        difference = float(np.max(self.differences))
        return Agreement(
            photos=self.photos,
            same_top1=round(self.same / self.photos, 4),
            max_difference=round(difference, 6) if isfinite(difference) else None,
            weights_digest=weights_digest,
            labelled=self.labelled or None,
            accuracy=round(self.right / self.labelled, 4) if self.labelled else None,
            accuracy_fp32=round(self.right_fp32 / self.labelled, 4) if self.labelled else None,
        )


@dataclass(kw_only=True)
class _Vectors:
    """What is counted of embeddings."""

    rule: RowRule
    cosines: list[float] = field(default_factory=list)

    @property
    def photos(self) -> int:
        return len(self.cosines)

    def add(self, uris: list[str], values: torch.Tensor, columns: Columns) -> None:
        """Count photos, of which plain fp32 gives these values. `columns` may have more rows."""
        plain = columns_from(values, self.rule)["embedding"].to(torch.float64)
        vectors = torch.from_numpy(columns["embedding"][: len(uris)]).to(torch.float64)
        self.cosines += functional.cosine_similarity(plain, vectors, dim=1).tolist()

    def agreement(self, weights_digest: str) -> Agreement:
        are_numbers = all(map(isfinite, self.cosines))
        return Agreement(
            photos=self.photos,
            similarity=round(fmean(self.cosines), 6) if are_numbers else None,
            least_similarity=round(min(self.cosines), 6) if are_numbers else None,
            weights_digest=weights_digest,
        )


def _folder_of(uri: str) -> str:
    """Return the name of the folder that the image lies in, in a store or in a tar; empty if there is none."""
    parts = re.split("[/#]", uri)
    return unquote(parts[-2]) if len(parts) > 1 else ""
