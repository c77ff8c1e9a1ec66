"""What stands in for devices, beneath the worker: the network of a model, decoders, processes' ends; and for CBC.

An image's pixels are the number in its name, and its best class follows from that number, so a row says which image it
is of. A mini-batch takes as long as the world has drawn for the worker's process.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.engines import EngineName, Precision
from dueby_api.input_cost import InputCost
from dueby_api.output import Output
from dueby_api.schema import Spec
from dueby_api.step_messages import ParityCheck
from dueby_worker.models.columns import OutputColumn, RowRule, columns_of
from dueby_worker.models.preprocessing import Preprocessing
from support.world.library import replace_devices, replace_parts
from support.world.scheduler import World

CLASSES = 7
BEST = 5
# What loading a model takes, in seconds.
LOAD_S = 0.3
INPUT_COST = InputCost(decode_us=1000, get_us=1000, bytes_per_image=100, bandwidth_bytes_per_s=10**9, sampled=8)
_PREPROCESSING = Preprocessing(
    resize_side=224, crop_side=224, interpolation="bilinear", antialias=True, mean=(0, 0, 0), std=(1, 1, 1)
)


def number_of(uri: str) -> int:
    """Return the number of a photo."""
    return int(uri.rpartition("/")[2].partition(".")[0])


def class_of(number: int) -> int:
    """Return the best class of a photo of this number."""
    return number % CLASSES


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model without a network."""

    name: str
    output: Output
    labels: tuple[str, ...] = tuple(f"class {number}" for number in range(CLASSES))
    preprocessing: Preprocessing = _PREPROCESSING
    weights_digest: str = "made up"
    warnings: tuple[str, ...] = ()
    quantized: bytes | None = None
    files: None = None

    @property
    def columns(self) -> dict[str, OutputColumn]:
        """The columns of the rows."""
        return columns_of(self.output, CLASSES)

    @property
    def rule(self) -> RowRule:
        """How values become rows."""
        return RowRule(output=self.output)


def load_model(spec: Any, output: Output) -> LoadedModel:
    """Return the model; loading it takes its time."""
    World.current.sleep(LOAD_S)
    return LoadedModel(name=spec.name, output=output.resolved)


class MadeUpEngine:
    """An engine that reads an image's number in its pixels."""

    depth = 1

    def __init__(self, name: EngineName, precision: Precision, size: int) -> None:
        self.name, self.precision, self._size = name, precision, size
        self._submitted: deque[NDArray[Any]] = deque()
        process = World.current.my_thread().process
        self._step_s: Callable[[], float] = process.attributes.get("step_s", lambda: 0.1)

    def buffer(self) -> NDArray[np.uint8]:
        """Return a buffer."""
        return np.zeros((self._size, 1, 1, 3), dtype=np.uint8)

    def submit(self, batch: NDArray[np.uint8]) -> None:
        """Take a mini-batch."""
        self._submitted.append(batch)

    def collect(self) -> Mapping[str, NDArray[Any]]:
        """Return its rows once its time is over."""
        World.current.sleep(self._step_s())
        batch = self._submitted.popleft().reshape(self._size, 3).astype(np.int64)
        numbers = batch[:, 0] + 256 * batch[:, 1] + 65536 * batch[:, 2]
        best = (numbers[:, None] + np.arange(BEST)) % CLASSES
        scores = np.tile(np.linspace(0.9, 0.1, BEST), (self._size, 1))
        return {"classes": best.astype(np.int32), "scores": scores.astype(np.float32)}

    def close(self) -> None:
        """Drop what is in flight."""


class ImageReader:
    """Reads images at once, whose pixels are their numbers."""

    task_images = 8

    def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str, None]]]:
        """Yield the images one by one."""
        return ([(index, uri, None)] for index, uri in items)

    def read(self, images: Sequence[tuple[int, str, None]], slots: NDArray[np.uint8]) -> Future[Mapping[int, object]]:
        """Write the images into their slots."""
        for slot, (_, uri, _) in zip(slots, images, strict=True):
            number = number_of(uri)
            slot[...] = number & 255, number >> 8 & 255, number >> 16 & 255
        task: Future[Mapping[int, object]] = Future()
        task.set_result({})
        return task

    def finish(self) -> None:
        """Do nothing: all is read."""

    def cancel(self) -> None:
        """Do nothing: no store is waited for."""

    def close(self) -> None:
        """Do nothing: no thread is left."""


def build_engine(*, name: EngineName, mini_batch_size: int, precision: Precision, **how: Any) -> MadeUpEngine:
    """Return the engine."""
    return MadeUpEngine(name, precision, mini_batch_size)


def sample_files(rows: Sequence[tuple[str, Any]], **how: Any) -> tuple[InputCost, tuple[str, ...]]:
    """Return what images cost, and the first of them as a witness."""
    World.current.sleep(0.1)
    return INPUT_COST, (rows[0][0],)


class IsolatedDecoder:
    """A decoder that is never used."""

    def __init__(self, **how: Any) -> None:
        pass

    def close(self) -> None:
        """Do nothing."""


def finish_first(finish: Callable[[], None]) -> None:
    """Have the process do this when it is told to end."""
    World.current.my_thread().process.attributes["finish"] = finish


def leave_message(message: Spec) -> None:
    """Leave the process's last words."""
    World.current.my_thread().process.attributes["message"] = message.document()


def no_answer(*question: object) -> Future[None]:
    """Return that there is no solver."""
    answer: Future[None] = Future()
    answer.set_result(None)
    return answer


def _agrees(*what: object, **how: object) -> ParityCheck:
    return ParityCheck(max_difference=0.0, same_top1=1.0, ok=True, sentence="agrees")


def _nothing(*what: object, **how: object) -> None:
    return None


def _known(spec: Any, output: Output, cache_dir: Path | None) -> LoadedModel:
    return load_model(spec, output)


def install() -> None:
    """Replace the devices."""
    replace_devices(
        {
            "dueby_worker.models.loading": {"LoadedModel": LoadedModel, "load_model": load_model},
            # No engine keeps networks.
            "dueby_worker.engines.build": {
                "build_engine": build_engine,
                "keeping_module": _nothing,
                "reopen_engine": _nothing,
            },
            "dueby_worker.engines.parity": {"compare": _agrees},
            "dueby_worker.engines.host": {"pin_to_cores": _nothing, "process_environment": lambda *a: {}},
            "dueby_worker.images.read_ahead": {
                "most_ahead": lambda **how: 1,
                "open_reader": lambda **how: ImageReader(),
                "read_images": _nothing,
            },
            "dueby_worker.images.listed": {"ListDecoder": object, "open_on_gpu": _nothing},
            "dueby_worker.images.isolation": {"IsolatedDecoder": IsolatedDecoder},
            "dueby_worker.steps.process_exit": {"finish_first": finish_first, "leave_message": leave_message},
            "dueby_planner.model.solver": {
                "SolverAnswer": SimpleNamespace,
                "ask_cheapest": no_answer,
                "ask_fewest": no_answer,
                "ask_most": no_answer,
                "read_answer": _nothing,
            },
        }
    )
    replace_parts(
        {
            "dueby_worker.index.sampling": {"sample_files": sample_files},
            "dueby_worker.models.known_model": {"know_model": _known, "note_model": _nothing},
        }
    )
