"""`dueby run` with models that are not DueBy's: its rows are what these say of the images themselves."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision import transforms

from support.foreign_models import LABELS, SIDE, timm_folder, timm_network
from support.run import Job, profile_document, write_photos
from support.source_tree import REPOSITORY

PHOTOS = 24


def test_a_folder_of_timm_runs_to_rows_that_say_what_timm_says(tmp_path: Path) -> None:
    network = timm_network(crop_mode="squash", crop_pct=1.0)
    write_photos(tmp_path / "photos", PHOTOS)
    model = {"name": "timm/test_vit", "weights": timm_folder(tmp_path / "model", network), "imageSize": SIDE}
    profile = profile_document()
    profile["spec"]["model"] |= {"name": model["name"], "imageSize": SIDE}
    profile["spec"]["engine"] = "eager"
    job = Job(folder=tmp_path, spec={"model": model | {"engine": "eager"}}, profile=profile)
    transform = create_transform(**resolve_data_config({}, model=network))

    try:
        assert job.run() == 0, job.said()
    finally:
        job.clean_up()

    rows = job.rows()
    assert len(rows) == PHOTOS
    for row in rows:
        with Image.open(row["uri"].removeprefix("file://")) as photo, torch.inference_mode():
            expected = network(transform(photo.convert("RGB"))[None]).softmax(dim=1)[0]
        said = dict(zip(row["labels"], row["scores"], strict=True))
        assert said == pytest.approx(dict(zip(LABELS, expected.tolist(), strict=True)), abs=0.05)


def test_a_function_of_ones_own_runs_to_rows_that_say_what_its_network_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module of docs/models.md, in the folder where `dueby run` is called."""
    (code,) = re.findall(
        r"^```python\n(# birds\.py\n.*?)^```", (REPOSITORY / "docs" / "models.md").read_text(), re.M | re.S
    )
    (tmp_path / "birds.py").write_text(code)
    write_photos(tmp_path / "photos", PHOTOS)
    name = "python/birds:make"
    profile = profile_document()
    profile["spec"]["model"] |= {"name": name, "imageSize": 224}
    profile["spec"]["engine"] = "eager"
    job = Job(folder=tmp_path, spec={"model": {"name": name, "engine": "eager"}}, profile=profile)
    monkeypatch.chdir(tmp_path)

    try:
        assert job.run() == 0, job.said()
    finally:
        job.clean_up()

    spec = importlib.util.spec_from_file_location("birds_of_the_text", tmp_path / "birds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = module.make()["network"].eval()
    resized = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    rows = job.rows()
    assert len(rows) == PHOTOS
    for row in rows:
        with Image.open(row["uri"].removeprefix("file://")) as photo, torch.inference_mode():
            expected = network(resized(photo.convert("RGB"))[None]).softmax(dim=1)[0]
        said = dict(zip(row["labels"], row["scores"], strict=True))
        assert said == pytest.approx(dict(zip(["robin", "wren"], expected.tolist(), strict=True)), abs=0.01)
