"""Two runs of one job that begin together on a new sink: the second goes on with the parts of the first."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.run import Job, write_photos

PHOTOS = 60
BEGIN_SINK = """\
import os, shutil, sys

def begin(event, arguments):
    if event == "open" and str(arguments[0]).endswith("/config.json"):
        os.makedirs({sink!r} + "/_dueby", exist_ok=True)
        if not os.path.exists({sink!r} + "/_dueby/job.json"):
            shutil.copy({begun!r}, {sink!r} + "/_dueby/job.json")

sys.addaudithook(begin)
"""


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="files"),
        pytest.param({"source": {"synthetic": {}}, "images": PHOTOS}, id="made", marks=pytest.mark.deep),
    ],
)
def test_a_run_whose_sink_is_begun_by_another_while_it_plans_goes_on_with_the_others_parts(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    write_photos(tmp_path / "photos", PHOTOS)
    job = Job(folder=tmp_path, spec=spec)
    assert job.run() == 0, job.said()
    size = job.part_size() + 5
    begun = json.loads((job.sink / "_dueby" / "job.json").read_text()) | {"partSize": size}
    shutil.rmtree(job.sink)
    # Python runs this at the start of a worker, and it acts when the worker reads what it is to do: the run has looked
    # at the sink and has planned, and no worker has looked at it yet. The index step doesn't get the job's variables.
    (tmp_path / "begun.json").write_text(json.dumps(begun))
    script = BEGIN_SINK.format(begun=str(tmp_path / "begun.json"), sink=str(job.sink))
    (tmp_path / "sitecustomize.py").write_text(script)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    job.write(worker={"env": [{"name": "PYTHONPATH", "value": path}]})

    assert job.run() == 0, job.said()
    assert f"Another run has begun the sink, in parts of {size} images: planning again for them." in job.said()
    assert job.part_size() == job.record("plan.json")["revisions"][0]["plan"]["partSize"] == size
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))
    assert (job.sink / "_SUCCESS").exists()
