"""`dueby.plan`: plans as the command makes them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import dueby
from dueby.cli.main import main
from dueby_api.errors import Invalid
from dueby_api.inference_job import parse_job
from support.planner import A100, job_document, profile_document
from support.report_page import framed_page, words_of


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "a100.yaml").write_text(yaml.safe_dump(profile_document()))
    return folder


def test_a_plan_is_the_one_that_the_command_prints(
    profiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_document(images=100_000, deadline="1m")
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    main(["plan", "-f", str(path), "--profiles", str(profiles), "--pool", f"{A100}=8", "-o", "json"])
    printed = json.loads(capsys.readouterr().out)
    for given, paths in ((job, profiles), (path, [profiles]), (str(path), [str(profiles)]), (parse_job(job), profiles)):
        answer = dueby.plan(given, profiles=paths, pool={A100: 8})
        assert (answer.gpus, answer.expected_seconds) == (printed["gpus"], printed["expectedSeconds"])
        assert answer.groups[0].mini_batch_size == printed["groups"][0]["miniBatchSize"]


def test_what_is_infeasible_is_an_answer_and_what_is_wrong_an_error(profiles: Path) -> None:
    answer = dueby.plan(job_document(images=10**9, deadline="1m"), profiles=profiles, pool={A100: 8})
    assert not answer.feasible
    assert answer.alternatives
    with pytest.raises(Invalid, match=r"spec\.images: must be an integer of at least 1"):
        dueby.plan(job_document(images=-1), profiles=profiles)


def test_a_notebook_shows_the_page_that_the_command_prints(
    profiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_document(images=100_000, deadline="1m")
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    main(["plan", "-f", str(path), "--profiles", str(profiles), "--pool", f"{A100}=8", "-o", "html"])
    shown = words_of(framed_page(dueby.plan(job, profiles=profiles, pool={A100: 8})))
    assert "Devices over time" in shown
    printed = words_of(capsys.readouterr().out)
    # The moment at which it was made and the time to solve it are all that differs.
    bare, of_command = (re.sub(r"plan of .* UTC|, \d+\.\d ms\)", "", text) for text in (shown, printed))
    assert bare == of_command


def test_a_job_that_has_no_place_is_shown_with_what_would_be_enough(profiles: Path) -> None:
    job = job_document(images=10**9, deadline="1m", deadlineClass="Hard")
    shown = words_of(framed_page(dueby.plan(job, profiles=profiles, pool={A100: 8})))
    assert "1 job without a place" in shown
    assert "would be enough" in shown


def test_a_changed_plan_is_no_longer_the_one_that_was_drawn(profiles: Path) -> None:
    answer = dueby.plan(job_document(images=1000), profiles=profiles, pool={A100: 8})
    assert answer.replace(gpus=7)._repr_html_() is None


def test_a_pool_may_have_the_integers_of_other_libraries(profiles: Path) -> None:
    job = job_document(images=100_000, deadline="1m")
    plain, other = (dueby.plan(job, profiles=profiles, pool={A100: count}) for count in (8, np.int64(8)))  # type: ignore[dict-item]
    assert other.gpus == plain.gpus
    assert json.loads(json.dumps(other.document()))["gpus"] == plain.gpus


@pytest.mark.parametrize("count", [2.0, "2", None, -3, True, np.float64(2), np.True_], ids=repr)
def test_a_number_of_devices_that_is_none_is_refused(profiles: Path, count: Any) -> None:
    with pytest.raises(Invalid) as caught:
        dueby.plan(job_document(images=1000), profiles=profiles, pool={A100: count})
    assert str(caught.value) == f"pool: {A100}: must be an integer of at least 0, but is {count!r}"


@pytest.mark.parametrize(
    ("job", "options", "sentence"),
    [
        pytest.param(None, {}, "job: must be a manifest's path, its content or an InferenceJob", id="no job"),
        pytest.param({}, {"profiles": 3}, "profiles: must be a path or a sequence of paths", id="a number of profiles"),
        pytest.param({}, {"profiles": ["a", None]}, "profiles: must be a path or", id="a profile of nothing"),
        pytest.param({}, {"profiles": b"a"}, "profiles: must be a path or", id="a path of bytes"),
        pytest.param({}, {"pool": 3}, "pool: must be a mapping of device classes to numbers, but is", id="a number"),
        pytest.param({}, {"pool": [A100]}, "pool: must be a mapping of device classes to numbers", id="a list"),
        pytest.param({}, {"pool": {3: 3}}, "pool: 3 is not the name of a device class", id="a class by number"),
    ],
)
def test_what_is_of_another_type_is_refused(profiles: Path, job: Any, options: dict[str, Any], sentence: str) -> None:
    given: Any = job_document(images=1000) if job is not None else None
    with pytest.raises(Invalid, match=sentence):
        dueby.plan(given, **({"profiles": profiles} | options))
