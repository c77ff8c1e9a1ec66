"""What `import dueby` offers: the version, plans as the command makes them, and a sink's rows."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import dueby
from dueby.cli.main import main
from dueby_api.errors import Invalid
from support.planner import A100, job_document, profile_document
from support.report import small_run, write_sink
from support.worker import as_older


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "a100.yaml").write_text(yaml.safe_dump(profile_document()))
    return folder


def test_importing_it_loads_nothing_but_python_s_own_modules() -> None:
    program = "import sys; before = set(sys.modules); import dueby; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {name.partition(".")[0] for name in loaded.split()} - sys.stdlib_module_names == {"dueby"}


def test_it_lists_what_it_offers_and_has_nothing_else() -> None:
    assert {"plan", "read_results", "__version__"} <= set(dir(dueby))
    assert all(hasattr(dueby, name) for name in dueby.__all__)
    with pytest.raises(AttributeError, match="module 'dueby' has no attribute 'run'"):
        dueby.run  # noqa: B018
    assert dueby.__version__ == version("dueby")


def test_a_plan_is_the_one_that_the_command_prints(
    profiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_document(images=100_000, deadline="1m")
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    main(["plan", "-f", str(path), "--profiles", str(profiles), "--pool", f"{A100}=8", "-o", "json"])
    printed = json.loads(capsys.readouterr().out)
    for given, paths in ((job, profiles), (path, [profiles]), (str(path), [str(profiles)])):
        answer = dueby.plan(given, profiles=paths, pool={A100: 8})
        assert (answer.gpus, answer.expected_seconds) == (printed["gpus"], printed["expectedSeconds"])
        assert answer.groups[0].mini_batch_size == printed["groups"][0]["miniBatchSize"]


def test_what_is_infeasible_is_an_answer_and_what_is_wrong_an_error(profiles: Path) -> None:
    answer = dueby.plan(job_document(images=10**9, deadline="1m"), profiles=profiles, pool={A100: 8})
    assert not answer.feasible
    assert answer.alternatives
    with pytest.raises(Invalid, match=r"spec\.images: must be an integer of at least 1"):
        dueby.plan(job_document(images=-1), profiles=profiles)


def test_the_rows_of_a_sink_are_read_in_the_order_of_the_index(tmp_path: Path) -> None:
    sink = write_sink(tmp_path / "sink", replace(small_run(), failed={7: "It is empty."}))
    rows = dueby.read_results(sink)
    assert rows.column_names == ["index", "uri", "classes", "labels", "scores", "error", "warning"]
    assert rows["index"].to_pylist() == list(range(4000))
    assert [error for error in rows["error"].to_pylist() if error] == ["It is empty."]


@pytest.mark.parametrize("older", ["part-000000000000", "part-", "none"], ids=["the first", "all", "none"])
def test_a_sink_that_an_older_dueby_began_has_the_same_columns(tmp_path: Path, older: str) -> None:
    sink = write_sink(tmp_path, small_run())
    before = dueby.read_results(sink)
    for part in sink.glob(f"{older}*.parquet"):
        part.write_bytes(as_older(part.read_bytes()))
    rows = dueby.read_results(sink)
    assert rows.schema.equals(before.schema)
    assert rows.column_names[-2:] == ["error", "warning"]
    assert rows.equals(before)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"has no results \(yet\); give the job's sink\.uri"):
        dueby.read_results(tmp_path)
