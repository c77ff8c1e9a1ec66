"""README's line that plans for GPUs which nobody here has works as it stands, and nothing is run by such figures."""

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from dueby.cli.main import main
from dueby.inputs.files import read_profiles
from dueby.plan_words import ASSUMED
from dueby.runs.found_devices import find_devices
from dueby_api.errors import Invalid
from dueby_api.inference_job import parse_job
from support.source_tree import REPOSITORY

PROFILES = REPOSITORY / "examples" / "profiles"


def shown_lines() -> list[str]:
    texts = [(REPOSITORY / name).read_text() for name in ("README.md", "examples/profiles/README.md")]
    return [line.strip() for text in texts for line in text.splitlines() if line.startswith("    dueby plan ")]


@pytest.mark.parametrize("line", shown_lines())
def test_the_line_works_in_a_clone(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)

    assert main(shlex.split(line)[1:]) == 0

    shown = capsys.readouterr()
    assert "4 GPUs for 20,000,000 images in 10m00s" in shown.out
    assert shown.err.count("Warning:") == 1
    assert "Times are assumed from published figures" in shown.err


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_page_says_it_where_it_is_not_overlooked(
    jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for number in range(jobs):
        path = tmp_path / f"{number}.yaml"
        path.write_text((REPOSITORY / "examples/published-gpus.yaml").read_text().replace("results", f"rows-{number}"))
        path.write_text(path.read_text().replace("name: published-gpus", f"name: job-{number}"))
        files += ["-f", str(path)]

    main(["plan", *files, "--profiles", str(PROFILES), "--pool", "NVIDIA-GeForce-RTX-4090=16", "-o", "html"])

    assert f'<p class="proof">{ASSUMED}</p>' in capsys.readouterr().out


def test_readme_shows_it() -> None:
    assert "--pool" in shown_lines()[0]


def test_each_names_its_source_and_its_licence() -> None:
    found = read_profiles([str(PROFILES)])

    assert len(found) == 12
    for profile in found:
        assert profile.spec.assumed
        assert profile.spec.source
        assert "github.com/huggingface/pytorch-image-models" in profile.spec.source
        assert profile.spec.source.endswith(", Apache-2.0")


def test_no_run_takes_them() -> None:
    console = Console(file=io.StringIO(), width=200)
    spec = {"deadline": "1m", "model": {"name": "resnet50"}, "source": {"uri": "p"}, "sink": {"uri": "s"}}
    job = parse_job(
        {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "a"}, "spec": spec}
    )

    with pytest.raises(Invalid, match="there are no profiles at all"):
        find_devices([job], [str(PROFILES)], console)

    assert "Left out, because they are assumed and not measured: nvidia" in console.file.getvalue()  # type: ignore[attr-defined]
