"""A job's model as a value: described by its name, known by its weights, and in loading.py loaded with its network.

Each form is the one before it and more. Nothing here imports torch, which whoever knows the model already is spared.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from dueby_api.output import Output
from dueby_api.schema import Spec
from dueby_worker.models.columns import OutputColumn, RowRule, columns_of, rule_of
from dueby_worker.models.preprocessing import Preprocessing

log = logging.getLogger(__name__)


class FileStamp(Spec, frozen=True, kw_only=True):
    """A file as it was. Nobody can change its content and leave the time of its last change as it is."""

    path: str
    size: int
    changed_ns: int
    """Nanoseconds since 1970, by the file system's clock."""


class ModelFacts(Spec, frozen=True, kw_only=True):
    """The job's model without its weights."""

    name: str
    labels: tuple[str, ...]
    """A label for each class, in the order of the network's outputs."""
    preprocessing: Preprocessing
    is_encoder: bool = False
    """Whether the network's values are an embedding, and not of classes."""
    warnings: tuple[str, ...] = ()
    """Sentences that the user must see."""

    def log_warnings(self) -> None:
        """Say what the user must see."""
        for warning in self.warnings:
            log.warning("%s", warning)


class KnownModel(ModelFacts, frozen=True, kw_only=True):
    """The job's model with its weights and what becomes of its values, and without its network."""

    weights_digest: str
    """SHA-256 of the weights in hex, or `random:` and the seed for `none`; hashed again with the entry's `code`."""
    values: int
    """How many values the network gives of an image: a logit for each class, or those of an embedding."""
    output: Output
    """What becomes of them in the rows, with every field of its kind."""
    are_probabilities: bool = False
    """Whether the values are probabilities already, and not logits."""
    files: tuple[FileStamp, ...] | None = None
    """The files that all of this depends on; None if only another library knows them."""

    @property
    def columns(self) -> dict[str, OutputColumn]:
        return columns_of(self.output, self.values)

    @property
    def rule(self) -> RowRule:
        """How the values become rows."""
        return rule_of(self.output, self.labels, are_probabilities=self.are_probabilities)


def stamps_of(paths: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Return the files as they are now. Raise OSError if one isn't there."""
    stats = [(path.absolute(), path.stat()) for path in paths]
    return tuple(FileStamp(path=str(path), size=stat.st_size, changed_ns=stat.st_ctime_ns) for path, stat in stats)
