"""Daft as a peer of peers.py: a dataframe of paths, with expressions that download, decode, prepare and classify.

As documented (Daft's published comparison, Eventual-Inc/Daft, benchmarking/ai/image_classification/daft_main.py, with
the native runner): `image.decode`, the float preset by `apply`, a class UDF with the network. Tuned: a class UDF in
single-threaded processes decodes and classifies, so that no pixels pass between processes; no progress bar, no
torch in the process that hands out the work.
"""

import argparse
from typing import Any

import daft
import numpy as np
from daft import DataType, col

from peers_task import Task, done_by_me, read_task

FIELDS = {
    "label": DataType.int64(),
    "score": DataType.float64(),
    "at": DataType.float64(),
    "worker": DataType.string(),
}
ROW = DataType.struct(FIELDS)


def rows(labels: list[int], scores: list[float]) -> list[dict[str, Any]]:
    """What becomes the struct of each row."""
    columns = {"label": labels, "score": scores, **done_by_me(len(labels))}
    return [dict(zip(FIELDS, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def documented(task: Task, photos: Any) -> Any:
    """The expressions of the example."""
    import torch

    from peers_torch import load_classifier, preset_of

    crop, preset = task.preset["crop"], preset_of(task)

    @daft.cls(max_concurrency=task.cores)
    class Network:
        def __init__(self) -> None:
            self.classify = load_classifier(task)

        @daft.method.batch(return_dtype=ROW, batch_size=task.batch)  # type: ignore[untyped-decorator]
        def __call__(self, images: daft.Series) -> list[dict[str, Any]]:
            if len(images) == 0:
                return []
            return rows(*self.classify(torch.from_numpy(np.array(images.to_pylist()))))

    photos = photos.with_column("image", col("path").download().decode_image(mode=daft.ImageMode.RGB))
    photos = photos.with_column(
        "pixels",
        photos["image"].apply(
            lambda image: preset(image).numpy(),
            return_dtype=DataType.tensor(dtype=DataType.float32(), shape=(3, crop, crop)),
        ),
    )
    return photos.with_column("row", Network()(col("pixels")))


def tuned(task: Task, photos: Any) -> Any:
    """One expression that does it all."""

    @daft.cls(max_concurrency=task.cores, use_process=True)
    class Network:
        def __init__(self) -> None:
            from peers_torch import Uint8Square, load_classifier

            self.prepare = Uint8Square(task.preset)
            self.classify = load_classifier(task)

        @daft.method.batch(return_dtype=ROW, batch_size=task.batch)  # type: ignore[untyped-decorator]
        def __call__(self, paths: daft.Series) -> list[dict[str, Any]]:
            if len(paths) == 0:
                return []
            import torch

            names = (name.removeprefix("file://") for name in paths.to_pylist())
            return rows(*self.classify(torch.stack([self.prepare.of_file(name) for name in names])))

    return photos.with_column("row", Network()(col("path")))


def classify_all(task: Task) -> None:
    """Make the dataframe, write the rows."""
    photos = daft.from_glob_path(str(task.photos / "*.jpg")).select("path")
    found = tuned(task, photos) if task.tuned else documented(task, photos)
    fields = [col("row").get(name).alias(name) for name in FIELDS]
    found.select("path", *fields).write_parquet(str(task.output))


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
