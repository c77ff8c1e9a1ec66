"""The loops that DueBy is compared with, each in a process of its own: photos of a folder in, a Parquet file out.

    python benchmarks/pipeline_peers.py torchvision --photos DIR --weights FILE --precision fp32 [--tuned] --output FILE
    ... --device cuda --precision fp16 --batch 256 --workers 16

torchvision: a DataLoader around Pillow and the weights' own preset, as its documentation shows it. Tuned, it decodes to
uint8 and runs the very network of DueBy's eager engine (channels_last, folded batch norms, normalisation, softmax and
top-k inside, bf16 throughout), so that whatever DueBy is ahead by is the pipeline's doing.
timm: the loop of its inference.py, which the wheel doesn't carry, through the same public functions in the same order
(github.com/huggingface/pytorch-image-models, inference.py, 0041cb7b) with `--device cpu -j 2 --topk 5`. Tuned, it gets
the flags that it has: --channels-last, --amp --amp-dtype bfloat16 for bf16. Allocator and threads are the environment.
On a GPU both get mini-batches from pinned memory.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

TOP = 5
# Both peers' defaults are 2 processes that decode.
WORKERS = 2

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Classify = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Photos(Dataset[torch.Tensor]):
    """The photos of a folder, prepared one by one."""

    def __init__(self, paths: list[Path], prepare: Callable[[Path], torch.Tensor]) -> None:
        self.paths = paths
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.prepare(self.paths[index])


class PillowPreset:
    """As torchvision's documentation shows it."""

    def __init__(self) -> None:
        from torchvision.models import EfficientNet_B0_Weights

        self.preset = EfficientNet_B0_Weights.IMAGENET1K_V1.transforms()

    def __call__(self, path: Path) -> torch.Tensor:
        from PIL import Image

        prepared: torch.Tensor = self.preset(Image.open(path).convert("RGB"))
        return prepared


def decode_uint8(path: Path) -> torch.Tensor:
    """The fastest that torchvision offers: its own decoder, resized and cropped in uint8, (224, 224, 3)."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    pixels = decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB)
    pixels = functional.resize(pixels, [256], InterpolationMode.BICUBIC, antialias=True)
    cropped: torch.Tensor = functional.center_crop(pixels, [224]).permute(1, 2, 0).contiguous()
    return cropped


def torchvision_loop(options: argparse.Namespace) -> tuple[list[str], Iterable[torch.Tensor], Classify]:
    """Names, batches and the model of a plain DataLoader loop."""
    from torchvision.models import efficientnet_b0

    paths = sorted(options.photos.glob("*.jpg"))
    photos = Photos(paths, decode_uint8 if options.tuned else PillowPreset())
    loader: Iterable[torch.Tensor] = DataLoader(
        photos, batch_size=options.batch, num_workers=options.workers, pin_memory=options.device == "cuda"
    )
    if options.tuned:
        return [path.name for path in paths], loader, _network_of_dueby(options)
    model = efficientnet_b0(weights=None)
    model.load_state_dict(torch.load(options.weights, weights_only=True))
    return [path.name for path in paths], loader, _plain(model.eval(), options)


def timm_loop(options: argparse.Namespace) -> tuple[list[str], Iterable[torch.Tensor], Classify]:
    """Names, batches and the model as timm's inference.py makes them."""
    from timm import create_model
    from timm.data import create_dataset, create_loader, resolve_data_config

    model = create_model("efficientnet_b0", pretrained=False, checkpoint_path=str(options.weights))
    config = resolve_data_config({}, model=model, use_test_size=True)
    model = model.eval()
    if options.tuned:
        model = model.to(memory_format=torch.channels_last)
    dataset = create_dataset(root=str(options.photos), name="")
    loader = create_loader(
        dataset,
        batch_size=options.batch,
        use_prefetcher=True,
        num_workers=options.workers,
        device=torch.device(options.device),
        pin_memory=options.device == "cuda",
        **config,
    )
    names = [Path(name).name for name in dataset.filenames(basename=True)]
    return names, (pixels for pixels, _ in loader), _plain(model, options)


def _plain(model: nn.Module, options: argparse.Namespace) -> Classify:
    model = model.to(options.device)

    def classify(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with _autocast(options):
            logits = model(pixels.to(options.device, non_blocking=True))
        scores, classes = logits.float().softmax(-1).topk(TOP)
        return classes, scores

    return classify


def _autocast(options: argparse.Namespace) -> AbstractContextManager[object]:
    is_mixed = options.precision != "fp32"
    return torch.autocast(options.device, dtype=TYPES[options.precision] if is_mixed else None, enabled=is_mixed)


def _network_of_dueby(options: argparse.Namespace) -> Classify:
    from dueby_api.inference_job import Model
    from dueby_worker.engines.network import tuned_network
    from dueby_worker.models.loading import load_model

    model = Model(name="efficientnet_b0", weights=str(options.weights), precision=options.precision)
    network = tuned_network(load_model(model), model.precision).to(options.device)

    def classify(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        columns = network(pixels.to(options.device, non_blocking=True))
        return columns["classes"], columns["scores"]

    return classify


def main() -> None:
    """Classify the photos, write the table, print when the first and the last batch were done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=("torchvision", "timm"))
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--precision", choices=list(TYPES), required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=WORKERS)
    options = parser.parse_args()
    names, batches, classify = {"torchvision": torchvision_loop, "timm": timm_loop}[options.loop](options)
    finished, classes, scores = [], [], []
    with torch.inference_mode():
        for batch in batches:
            best, probabilities = classify(batch)
            classes.extend(best.tolist())
            scores.extend(probabilities.tolist())
            finished.append(time.perf_counter())
    pq.write_table(pa.table({"name": names, "classes": classes, "scores": scores}), options.output)
    rate = (len(names) - options.batch) / (finished[-1] - finished[0])
    print(json.dumps({"images": len(names), "imagesPerSecond": rate}))


if __name__ == "__main__":
    main()
