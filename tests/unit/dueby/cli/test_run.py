"""What `dueby run` does before and after its workers. (What it does with them is in tests/integration/test_run.py.)"""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dueby.cli.main import main
from dueby.cli.run import worst
from dueby.local.this_machine import LocalPool, Slot, shared_pool
from dueby.runs.session import End, Session
from dueby.terminal.console import Teller
from dueby_api.errors import Invalid, Transient
from dueby_api.run_record import Summary
from support.planner import job, job_document


def test_runs_that_begin_together_have_each_a_folder_of_its_own(tmp_path: Path) -> None:
    pool, teller = LocalPool(profiles=(), counts={}, slots=()), Teller(console=Console())
    names = [Session(job(), pool, file="job.yaml", folder=tmp_path, teller=teller).name for _ in range(20)]
    assert len(set(names)) == 20
    assert names == sorted(names)  # the newest is the last


DONE, LATE = (End(summary=Summary(job="a", verdict=verdict)) for verdict in ("Succeeded", "Late"))
REFUSED = End(refusal="Infeasible")
WRONG, FAILED = (End(refusal="no", error=error) for error in (Invalid("spec", "no"), Transient("no")))


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        pytest.param([DONE], 0, id="in time"),
        pytest.param([DONE, LATE], 4, id="one late"),
        pytest.param([LATE, REFUSED, DONE], 3, id="one refused"),
        pytest.param([REFUSED, WRONG, LATE], 2, id="one that is wrong"),
        pytest.param([WRONG, FAILED], 1, id="one that has failed"),
        pytest.param([], 0, id="none"),
    ],
)
def test_the_exit_code_of_several_jobs_is_the_worst(ends: list[End], code: int) -> None:
    assert worst(ends) == code


def written(folder: Path, name: str, **spec: Any) -> str:
    document = job_document(**({"sink": {"uri": f"{folder}/{name}-rows/"}} | spec))
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({**document, "metadata": {"name": name}}))
    return str(path)


@pytest.mark.parametrize(
    ("second", "options", "sentence"),
    [
        pytest.param({"name": "a"}, [], "two jobs are named a", id="two of one name"),
        pytest.param({"name": "b", "sink": "a-rows/"}, [], "two jobs write to", id="two that write to one place"),
        pytest.param({"name": "b"}, ["--retry-failed"], "--retry-failed: takes one job", id="two to retry"),
    ],
)
def test_jobs_that_cannot_run_together_are_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: dict[str, str], options: list[str], sentence: str
) -> None:
    sink = {"sink": {"uri": f"{tmp_path}/{second['sink']}"}} if "sink" in second else {}
    files = [written(tmp_path, "a"), written(tmp_path, second["name"], **sink)]
    assert main(["run", "-f", files[0], "-f", files[1], *options]) == 2
    assert sentence in capsys.readouterr().err


def pool_of(*devices: tuple[str, bool]) -> LocalPool:
    slots = tuple(
        Slot(name=f"{name}/{place}", device_class=name, threads=1, gpu=f"{name}-{place}" if is_gpu else None)
        for place, (name, is_gpu) in enumerate(devices)
    )
    return LocalPool(profiles=(), counts={name: 1 for name, _ in devices}, slots=slots)


def test_jobs_share_all_gpus_that_one_of_them_may_use() -> None:
    l4, both = pool_of(("L4", True)), pool_of(("L4", True), ("T4", True))
    assert shared_pool({"a": l4, "b": both}).counts == {"L4": 1, "T4": 1}
    assert shared_pool({"a": l4, "b": both}).slots == both.slots


@pytest.mark.parametrize("other", [pool_of(("cpu-2", False)), pool_of(("L4", True))], ids=["slices", "a GPU"])
def test_jobs_that_need_the_same_cores_in_different_ways_are_refused(other: LocalPool) -> None:
    with pytest.raises(Invalid, match=r"a on cpu-1; b on .*\. Name the same class in each of them"):
        shared_pool({"a": pool_of(("cpu-1", False)), "b": other})
