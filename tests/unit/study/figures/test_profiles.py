"""Figures from profiles and memory maps. What they look like was judged by eye."""

import json
from pathlib import Path

import pytest

from dueby.inputs.files import write_profile
from dueby_profiler.measuring.memory_map import Cell, MemoryMap
from dueby_profiler.presets import QUICK
from dueby_study.figures.profiles import main
from support.profiler import SimulatedMachine, profile_of

A_MAP = MemoryMap(
    model="efficientnet_b0",
    precision="fp32",
    engine="openvino",
    device_class="cpu-1",
    software={},
    cells=tuple(
        Cell(
            image_size=side, mini_batch_size=size, memory_mib=None if side * size > 15_000 else 400 + side * size // 30
        )
        for side in (128, 224, 320)
        for size in (1, 8, 32, 64)
    ),
)


def test_profiles_and_maps_become_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_profile(profile_of(SimulatedMachine().measured(QUICK)), tmp_path / "in")
    (tmp_path / "in" / f"{A_MAP.name}.json").write_text(json.dumps(A_MAP.document()))
    assert main(["--profiles", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    names = ["latency-efficientnet_b0-224-fp32.png", "memory-cpu-1-efficientnet_b0-fp32-openvino.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert all((tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({}, "holds no profiles; measure some with: dueby profile", id="an empty folder"),
        pytest.param({"a.yaml": "kind: GPUProfile"}, "a.yaml: apiVersion: is missing", id="half a profile"),
        pytest.param({"memory-a.json": "{}"}, "memory-a.json: model: is missing", id="half a map"),
    ],
)
def test_what_can_not_be_drawn_is_refused_with_the_reason(
    files: dict[str, str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["--profiles", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
