"""Mini-batches are handed out in order, each when the last of its tasks is over, whichever that is."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pytest

from dueby_api.errors import Transient
from dueby_worker.images.picture import ImageOutcome
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.feed import Drained, Feed, MiniBatch, count_buffers
from dueby_worker.work.order import Item

LIMIT_S = 20.0
SIZE = 4


class Slow:
    """A reader whose tasks are over when a test says so. The pixels of an image are its number."""

    task_images = 3

    def __init__(self) -> None:
        self.tasks = SimpleQueue[tuple[list[int], Pixels, Future[Mapping[int, Any]]]]()
        self.closed, self.cancelled = threading.Event(), threading.Event()

    def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[int]]:
        numbers = (index for index, _ in items)
        return iter(lambda: list(islice(numbers, 5)), [])

    def read(self, images: list[int], slots: Pixels) -> Future[Mapping[int, Any]]:
        task: Future[Mapping[int, Any]] = Future()
        self.tasks.put((images, slots, task))
        return task

    def finish(self) -> None:
        """Nothing is waited for here."""

    def cancel(self) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed.set()

    def next_task(self) -> tuple[list[int], Pixels, Future[Mapping[int, Any]]]:
        return self.tasks.get(timeout=LIMIT_S)


def end(task: tuple[list[int], Pixels, Future[Mapping[int, Any]]], **outcomes: ImageOutcome) -> None:
    numbers, slots, future = task
    slots[:, 0, 0, 0] = numbers
    future.set_result({numbers.index(int(name[1:])): outcome for name, outcome in outcomes.items()})


def a_feed(*images: int) -> tuple[Feed, Slow]:
    """Start a feed with a stretch of so many images for each, and three buffers."""
    feed, reader = Feed(), Slow()
    feed.supply(np.zeros((SIZE, 1, 1, 1), np.uint8) for _ in range(3))
    parts = [OpenPart(number, first=0, uris=[""] * count, columns={}) for number, count in enumerate(images)]
    feed.start([iter([Item(part, at, at, "") for at in range(len(part.uris))]) for part in parts], reader)
    return feed, reader


def numbers_in(batch: MiniBatch | Drained) -> list[int]:
    assert isinstance(batch, MiniBatch)
    return [int(number) for number in batch.pixels[: batch.images, 0, 0, 0]]


def test_tasks_that_end_in_another_order_fill_mini_batches_in_order() -> None:
    feed, reader = a_feed(10)
    tasks = [reader.next_task() for _ in range(5)]
    # No task is in two mini-batches, or in two lists of the reader.
    assert [numbers for numbers, _, _ in tasks] == [[0, 1, 2], [3], [4], [5, 6, 7], [8, 9]]
    batches = iter(feed)
    for number in (4, 3, 2):
        end(tasks[number])
    with pytest.raises(Empty):
        feed._ready.get_nowait()
    end(tasks[1])
    end(tasks[0])
    assert [numbers_in(next(batches)) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert isinstance(next(batches), Drained)
    assert next(batches, None) is None
    assert reader.closed.wait(LIMIT_S)


def test_what_there_is_to_say_of_an_image_is_said_of_its_row() -> None:
    feed, reader = a_feed(2, 4)
    batches = iter(feed)
    end(reader.next_task(), _1=ImageOutcome(error="It is damaged."))
    end(reader.next_task(), _2=ImageOutcome(warning="It is padded."))
    end(reader.next_task())
    first, _, second = (next(batches) for _ in range(3))
    assert isinstance(first, MiniBatch)
    assert isinstance(second, MiniBatch)
    assert [(piece.slot, piece.positions, piece.errors) for piece in first.pieces] == [
        (0, [0, 1], {1: "It is damaged."})
    ]
    assert [(piece.part.part, piece.warnings) for piece in second.pieces] == [(1, {2: "It is padded."})]


def test_a_buffer_that_is_given_back_is_filled_again() -> None:
    feed, reader = a_feed(4 * SIZE)
    for task in [reader.next_task() for _ in range(6)]:
        end(task)
    with pytest.raises(Empty):
        reader.tasks.get(timeout=0.05)
    batch = next(iter(feed))
    assert isinstance(batch, MiniBatch)
    feed.give_back(batch)
    numbers, slots, _ = reader.next_task()
    assert numbers == [12, 13, 14]
    assert np.shares_memory(slots, batch.pixels)


def test_what_nobody_wants_any_more_is_not_waited_for() -> None:
    feed, reader = a_feed(6)
    batches = iter(feed)
    tasks = [reader.next_task() for _ in range(3)]
    end(tasks[0])
    end(tasks[1])
    assert numbers_in(next(batches)) == [0, 1, 2, 3]
    feed.end()
    assert isinstance(next(batches), Drained)
    assert reader.cancelled.is_set()
    # What fails now, because it isn't read any more, is no failure.
    tasks[2][2].set_exception(Transient("reading was ended"))
    assert next(batches, None) is None


def test_a_task_that_fails_ends_the_feed() -> None:
    feed, reader = a_feed(100)
    reader.next_task()[2].set_exception(Transient("s3://photos can't be reached"))
    with pytest.raises(Transient, match="can't be reached"):
        next(iter(feed))
    assert reader.closed.wait(LIMIT_S)


def test_a_list_of_images_that_fails_ends_the_feed() -> None:
    def broken() -> Iterator[Item]:
        yield Item(OpenPart(0, first=0, uris=[""], columns={}), 0, 0, "")
        raise Transient("the index can't be read")

    feed, reader = Feed(), Slow()
    feed.supply([np.zeros((SIZE, 1, 1, 1), np.uint8)])
    feed.start([broken()], reader)
    with pytest.raises(Transient, match="the index can't be read"):
        next(iter(feed))


@pytest.mark.parametrize(
    ("depth", "ahead", "size", "count"),
    [
        pytest.param(1, 132, 16, 11, id="small ones hold what is ahead"),
        pytest.param(2, 512, 512, 5, id="of large ones two are filled at a time"),
        pytest.param(2, 1024, 512, 5, id="also if a device decodes lists"),
    ],
)
def test_buffers_hold_what_is_ahead(depth: int, ahead: int, size: int, count: int) -> None:
    assert count_buffers(depth=depth, ahead=ahead, mini_batch_size=size) == count
