"""What `dueby run` does before and after its workers. (What it does with them is in tests/integration/test_run.py.)"""

from pathlib import Path

from dueby.cli.run import Session
from dueby.local.this_machine import LocalPool
from support.planner import job


def test_runs_that_begin_together_have_each_a_folder_of_its_own(tmp_path: Path) -> None:
    pool = LocalPool(profiles=(), counts={}, slots=())
    names = [Session(job(), pool, file="job.yaml", folder=tmp_path).name for _ in range(20)]
    assert len(set(names)) == 20
    assert names == sorted(names)  # the newest is the last
