"""Published figures become profiles that say that they are assumed."""

from pathlib import Path

import pytest

from dueby.cli.main import main
from dueby.inputs.files import read_profiles
from dueby.inputs.published import read_published
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model

HEAD = "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count\n"
ROWS = "resnet50,224,4000,128.0,512,25\nresnet50,224,3200,20.0,64,25\nresnet50,288,1000,512.0,512,25\n"


def table(folder: Path, text: str) -> str:
    path = folder / "table.csv"
    path.write_text(text)
    return str(path)


def test_the_rows_of_a_model_and_size_are_the_steps(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD + ROWS)

    found = read_published(path, Model(name="timm/resnet50", precision="fp16"), device_class="X", source="there, MIT")

    assert [(step.mini_batch_size, step.latency_micros.mean) for step in found.spec.steps] == [
        (64, 20_000),
        (512, 128_000),
    ]
    assert (found.spec.assumed, found.spec.source) == (True, "there, MIT")
    assert (found.spec.engine, found.spec.startup_micros, found.spec.spread.run) == ("cuda", None, None)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        pytest.param("a,b\n1,2\n", "table.csv", "has no column model; the first line", id="other columns"),
        pytest.param("", "table.csv", "has no column model", id="an empty file"),
        pytest.param(HEAD, "--model", "has no row of resnet50", id="no rows"),
        pytest.param(HEAD + ROWS.replace("50", "51"), "--model", "did you mean resnet51?", id="another model"),
        pytest.param(HEAD + "resnet50,288,1,1,1,1\n", "--image-size", "at 224 px; it has 288", id="another size"),
        pytest.param(
            HEAD + "resnet50,224,1,fast,512,1\n", "table.csv", "infer_step_time 'fast'; they must", id="a word"
        ),
        pytest.param(HEAD + "resnet50,224\n", "table.csv", "infer_step_time None", id="a line cut off"),
        pytest.param(HEAD + "resnet50,224,1,inf,512,1\n", "table.csv", "infer_step_time 'inf'", id="infinity"),
        pytest.param(HEAD + "resnet50,224,1,-5,512,1\n", "table.csv", "spec.steps[0].latencyMicros.mean", id="below 0"),
    ],
)
def test_a_table_that_makes_no_profile_is_refused(tmp_path: Path, text: str, field: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_published(table(tmp_path, text), Model(name="resnet50"), device_class="X", source="there")

    assert field in refused.value.field
    assert words in str(refused.value)


def test_the_command_writes_it_and_says_what_it_is_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["profile", "--from", table(tmp_path, HEAD + ROWS), "--model", "resnet50", "-o", str(tmp_path / "profiles")]

    assert main(words) == 2
    assert "--from: needs one --class" in capsys.readouterr().err
    assert main([*words, "--class", "NVIDIA-L4"]) == 0
    assert "It is assumed, not measured" in capsys.readouterr().err
    (found,) = read_profiles([str(tmp_path / "profiles")])
    assert (found.spec.device_class, found.spec.source) == ("NVIDIA-L4", "table.csv")
