"""`dueby plan --pool FILE`: a fleet with devices that come and go, for one job and for several."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby_api.units import format_time
from support.plan_command import Plan, plan_command
from support.planner import A100

HOUR_S = 3600


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    return plan_command(tmp_path, capsys)


def block(from_s: float, to_s: float, *, count: int = 8, device_class: str = A100) -> dict[str, Any]:
    """Devices that come and go, in seconds from now."""
    now_s = time.time()
    times = {"from": format_time(round((now_s + from_s) * 10**6)), "to": format_time(round((now_s + to_s) * 10**6))}
    return {"class": device_class, "count": count, **times}


def pool_file(folder: Path, **content: Any) -> str:
    path = folder / "pool.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_file_of_classes_is_planned_with_like_counts(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, classes=[{"name": A100, "count": 8}])
    assert json.loads(plan("-o", "json", pool=file)[1]) == json.loads(plan("-o", "json", pool=f"{A100}=8")[1])


def test_a_job_is_planned_on_devices_that_come_later(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, capacity=[block(HOUR_S, 2 * HOUR_S)])
    code, out, _ = plan("-o", "json", pool=file, deadline="3h", deadlineClass="Hard")
    (job,) = json.loads(out)["jobs"]
    assert (code, job["action"]) == (0, "Reserve")
    assert all(HOUR_S - 60 < window["from"] < window["to"] <= 2 * HOUR_S for window in job["windows"])
    code, out, _ = plan("-o", "json", pool=file, deadline="30m", deadlineClass="Hard")
    (job,) = json.loads(out)["jobs"]
    assert (code, job["action"], job["windows"]) == (3, "Refuse", [])


def test_what_comes_is_beside_what_is_always_there(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, classes=[{"name": A100, "count": 1}], capacity=[block(60, 120, count=4)])
    code, out, _ = plan("-o", "json", pool=file, deadline="130s", images=1_500_000, deadlineClass="Hard")
    document = json.loads(out)
    (job,) = document["jobs"]
    assert (code, document["pool"]) == (0, [{"deviceClass": A100, "devices": 5, "peak": job["gpus"], "pool": None}])
    later = [window for window in job["windows"] if window["from"] > 1]
    assert later
    assert sum(window["count"] for window in job["windows"] if window["from"] <= 1) == 1


def test_a_weekly_block_is_planned_with(plan: Plan, tmp_path: Path) -> None:
    nightly = {"class": A100, "count": 8, "weekly": {"days": "*", "start": "00:00", "hours": 23}}
    file = pool_file(tmp_path, capacity=[nightly])
    code, out, _ = plan("-o", "json", pool=file, deadline="48h", deadlineClass="Hard")
    assert (code, json.loads(out)["feasible"]) == (0, True)


def test_a_block_that_is_over_is_no_pool(plan: Plan, tmp_path: Path) -> None:
    code, _, err = plan(pool=pool_file(tmp_path, capacity=[block(-20, -10)]))
    assert (code, err) == (2, "dueby plan: pool: is empty: there is no device to plan with (job catalog)\n")


def burst(**fields: Any) -> dict[str, Any]:
    """A pool that has no node, and could have two with four A100 each."""
    usual = {"name": "burst", "class": A100, "devicesPerNode": 4, "maxNodes": 2, "nodeSelector": {"pool": "burst"}}
    return {**usual, "timeToProvision": "10m", **fields}


def test_a_job_is_planned_on_devices_that_are_asked_for(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, nodePools=[burst()])
    code, out, _ = plan("-o", "json", pool=file, deadline="15m", deadlineClass="Hard")
    document = json.loads(out)
    (job,), (window,) = document["jobs"], document["jobs"][0]["windows"]
    assert (code, job["action"], job["gpus"]) == (0, "Start", 1)
    assert (window["deviceClass"], window["pool"], window["from"]) == (A100, "burst", 0)
    assert 600 < window["to"] <= 900
    assert document["pool"] == [{"deviceClass": A100, "devices": 8, "peak": 1, "pool": "burst"}]
    code, out, _ = plan("-o", "json", pool=file, deadline="10m", deadlineClass="Hard")
    assert (code, json.loads(out)["jobs"][0]["action"]) == (3, "Refuse")


def test_nothing_is_asked_for_where_what_is_there_will_do(plan: Plan, tmp_path: Path) -> None:
    both = pool_file(tmp_path, classes=[{"name": A100, "count": 1}], nodePools=[burst()])
    _, out, _ = plan("-o", "json", pool=both, deadline="15m")
    document = json.loads(out)
    assert {found["pool"]: found["peak"] for found in document["pool"]} == {None: 1, "burst": 0}
    _, out, _ = plan("-o", "json", pool=both, deadline="15m", images=6_000_000)
    document = json.loads(out)
    assert {found["pool"]: found["peak"] for found in document["pool"]} == {None: 1, "burst": 2}


@pytest.mark.parametrize(
    ("job", "losses", "peaks"),
    [
        pytest.param(
            {"deadlineClass": "Soft"}, 0, {"day": 1, "burst": 8}, id="spot first, and as few others as it takes"
        ),
        pytest.param({"deadlineClass": "Soft"}, 0.1, {"day": 2, "burst": 8}, id="more where spot nodes are taken away"),
        pytest.param({"deadlineClass": "Soft"}, None, {"day": 3, "burst": 8}, id="as often as is assumed"),
        pytest.param({"deadlineClass": "Hard"}, None, {"day": 9, "burst": 0}, id="no promise on spot"),
        pytest.param({"gpus": {"spot": "Only"}}, None, {"day": 0, "burst": 8}, id="only spot"),
    ],
)
def test_spot_pools_are_used_as_the_job_says(
    plan: Plan, tmp_path: Path, job: dict[str, Any], losses: float | None, peaks: dict[str, int]
) -> None:
    day = burst(name="day", maxNodes=4)
    spot = burst(spot=True) if losses is None else burst(spot=True, lossesPerHour=losses)
    both = pool_file(tmp_path, nodePools=[spot, day])
    # In 50 minutes an A100 does 13.7 million.
    _, out, _ = plan("-o", "json", pool=both, deadline="1h", images=115_000_000, **job)
    assert {found["pool"]: found["peak"] for found in json.loads(out)["pool"]} == peaks


def test_people_read_what_is_asked_for_and_when_it_is_there(plan: Plan, tmp_path: Path) -> None:
    _, out, _ = plan(pool=pool_file(tmp_path, nodePools=[burst()]), deadline="15m")
    assert f"{A100}, asked for of burst: at most 1 of 8 GPUs are held at once." in out
    assert "Devices of the pool burst are asked for when their window begins, and are there after 10m00s." in out


def test_a_best_effort_job_asks_for_nothing(plan: Plan, tmp_path: Path) -> None:
    code, out, _ = plan("-o", "json", pool=pool_file(tmp_path, nodePools=[burst()]), deadlineClass="BestEffort")
    assert (code, json.loads(out)["jobs"][0]["action"]) == (0, "Wait")


def test_several_jobs_share_what_comes(plan: Plan, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    plan(pool=f"{A100}=8")  # which writes the first job
    document = yaml.safe_load((tmp_path / "job.yaml").read_text())
    document["metadata"]["name"], document["spec"]["deadline"] = "other", "2h"
    document["spec"]["sink"] = {"uri": "elsewhere"}
    other.write_text(yaml.safe_dump(document))
    file = pool_file(tmp_path, capacity=[block(HOUR_S, 2 * HOUR_S, count=1)])
    code, out, _ = plan("-f", str(other), "-o", "json", pool=file, deadline="2h")
    jobs = json.loads(out)["jobs"]
    first, second = sorted((job["windows"][0] for job in jobs), key=lambda window: float(window["from"]))
    assert code == 0
    assert first["to"] <= second["from"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param({}, "classes: is empty, and so are capacity and nodePools", id="nothing in it"),
        pytest.param({"nodes": []}, "nodes", id="an unknown field"),
        pytest.param({"classes": [{"name": A100, "count": 0}]}, "classes[0].count", id="no device"),
        pytest.param({"classes": [{"name": A100, "count": 1}] * 2}, f"classes: names {A100} twice", id="a class twice"),
        pytest.param({"nodePools": [burst(maxNodes=0)]}, "nodePools[0].maxNodes", id="no node"),
        pytest.param({"nodePools": [burst()] * 2}, "nodePools: names burst twice", id="a pool twice"),
        pytest.param({"capacity": [{"class": A100, "count": 1}]}, "either from and to, or weekly", id="no time"),
        pytest.param({"capacity": [block(20, 10)]}, "to: must be later than from", id="ends before it begins"),
    ],
)
def test_what_is_wrong_in_a_file_is_a_sentence(
    plan: Plan, tmp_path: Path, content: dict[str, Any], sentence: str
) -> None:
    file = pool_file(tmp_path, **content)
    code, out, err = plan(pool=file)
    assert (code, out) == (2, "")
    assert err.startswith(f"dueby plan: {file}: ")
    assert sentence in err


def test_a_class_of_a_file_without_a_profile_is_named(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, capacity=[block(0, HOUR_S, device_class="NVIDIA-H100")])
    code, _, err = plan(pool=file)
    assert code == 2
    assert "for device class NVIDIA-H100" in err


def test_a_class_in_a_file_and_as_a_count_is_refused(plan: Plan, tmp_path: Path) -> None:
    file = pool_file(tmp_path, classes=[{"name": A100, "count": 8}])
    code, _, err = plan("--pool", file)
    assert (code, err) == (2, f"dueby plan: --pool: names {A100} twice; give one count\n")


@pytest.mark.parametrize("text", ["[", "a: 1\n---\nb: 2\n", "- a\n"])
def test_a_file_that_is_no_pool_is_refused(plan: Plan, tmp_path: Path, text: str) -> None:
    path = tmp_path / "pool.yml"
    path.write_text(text)
    code, _, err = plan(pool=str(path))
    assert code == 2
    assert err.startswith(f"dueby plan: {path}")
    assert plan(pool=str(tmp_path / "missing.yaml"))[0] == 2
