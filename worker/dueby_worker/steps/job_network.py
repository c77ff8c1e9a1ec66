"""The job's network, in one of two forms: loaded with its weights, or as its engine keeps it from an earlier time.

A kept one (engines/kept_network.py) takes neither torch nor the plain network: a worker starts in less than half the
time. Of both, a worker needs what the rows depend on, an engine, and how far the engine is from plain fp32.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dueby_api.step_config import EarlyConfig, WorkConfig
from dueby_api.step_messages import ParityCheck
from dueby_worker.engines.build import build_engine, keeping_module, reopen_engine
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.kept_network import KeptNetwork, may_be_kept, note_network, recall_network
from dueby_worker.models.columns import Columns
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.known_model import note_model, recall_model
from dueby_worker.models.preprocessing import Pixels

# They load torch.
if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel

log = logging.getLogger(__name__)


class JobNetwork(Protocol):
    """What a worker needs of its job's network."""

    @property
    def model(self) -> KnownModel:
        """What the rows depend on: labels, preprocessing, output, the digest of the weights."""

    def make_engine(self, read_quantized: Callable[[], bytes]) -> Engine:
        """Return the engine, ready for its first mini-batch; `read_quantized` returns the job's int8 network."""

    def compare(self, pixels: Pixels, columns: Columns) -> ParityCheck:
        """Return how far the engine's result for the first mini-batch is from plain fp32."""


def open_network(config: WorkConfig, loaded: "LoadedModel | None" = None) -> JobNetwork:
    """Return the job's network: the loaded one if it is given, else what is kept of it, else load it now."""
    if loaded is None and (kept := find_kept_network(config)) is not None:
        kept.model.log_warnings()
        return _Kept(config, kept)
    from dueby_worker.models.loading import load_model

    return LoadedNetwork(config, loaded or load_model(config.model, config.output))


def find_kept_network(config: EarlyConfig) -> KeptNetwork | None:
    """Return the job's network if its engine keeps it from an earlier time."""
    cache_dir, precision = _cache_dir(config), config.model.precision
    if not may_be_kept(config.engine, config.model.name, precision):
        return None
    if (model := recall_model(config.model, config.output, cache_dir)) is None:
        return None
    return recall_network(model, engine=config.engine, precision=precision, cache_dir=cache_dir)


class LoadedNetwork:
    """The network with its weights in memory. What is to be known of it is noted for later workers."""

    def __init__(self, config: WorkConfig, model: "LoadedModel", *, engine: Engine | None = None) -> None:
        """`engine` is the network's if there is one already."""
        self.model = model
        self._config = config
        self._engine = engine
        self._known = note_model(config.model, model, _cache_dir(config))

    def make_engine(self, read_quantized: Callable[[], bytes]) -> Engine:
        """Build the engine of the network; at int8, of the quantized one."""
        config = self._config
        if self._engine is not None:
            return self._engine
        model = self.model.replace(quantized=read_quantized()) if config.model.precision == "int8" else self.model
        return build_engine(
            name=config.engine,
            loaded=model,
            mini_batch_size=config.mini_batch_size,
            precision=config.model.precision,
            threads=config.threads,
            cache_dir=_cache_dir(config),
        )

    def compare(self, pixels: Pixels, columns: Columns) -> ParityCheck:
        """Compare the result with the plain network's, log the answer, and note it if the engine keeps its network."""
        from dueby_worker.engines.parity import compare

        config, cache_dir = self._config, _cache_dir(self._config)
        precision = config.model.precision
        parity = compare(pixels, columns, loaded=self.model, precision=precision, threads=config.threads)
        log.log(logging.INFO if parity.ok else logging.WARNING, "%s %s", config.engine, parity.sentence)
        if cache_dir is not None and may_be_kept(config.engine, self.model.name, precision):
            entry = keeping_module(config.engine).entry_of(self.model, cache_dir)
            note_network(
                self._known, parity, entry=entry, engine=config.engine, precision=precision, cache_dir=cache_dir
            )
        return parity


@dataclass(frozen=True)
class _Kept:
    config: WorkConfig
    network: KeptNetwork

    @property
    def model(self) -> KnownModel:
        return self.network.model

    def make_engine(self, read_quantized: Callable[[], bytes]) -> Engine:
        config = self.config
        return reopen_engine(
            self.network,
            name=config.engine,
            mini_batch_size=config.mini_batch_size,
            precision=config.model.precision,
            threads=config.threads,
        )

    def compare(self, pixels: Pixels, columns: Columns) -> ParityCheck:
        parity = self.network.parity
        log.info("%s, kept from an earlier time, %s", self.config.engine, parity.sentence)
        return parity


def _cache_dir(config: EarlyConfig) -> Path | None:
    return Path(config.cache_dir) if config.cache_dir else None
