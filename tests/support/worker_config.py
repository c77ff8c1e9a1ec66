"""The configuration of a worker that does a whole job alone."""

from typing import Any


def share_of_everything(images: int, part_size: int, mini_batch: int, engine: str) -> dict[str, Any]:
    """A configuration in which one worker does all of it on one core."""
    parts = -(-images // part_size)
    return {
        "revision": 1,
        "worker": "w0",
        "deviceClass": "cpu-1",
        "engine": engine,
        "threads": 1,
        "decodeThreads": 1,
        "miniBatchSize": mini_batch,
        "iterations": -(-images // mini_batch) - 1,
        "share": [0, parts],
        "shares": [[0, parts]],
        "images": images,
        "partSize": part_size,
    }
