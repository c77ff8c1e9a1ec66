"""From `kubectl apply` to result rows on a real cluster, through the chart."""

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from dueby.cli.main import main
from support.kind.cluster import Cluster
from support.kind.cluster_job import condition, indices_of, job, parts_in, share_photos, slow_job, wait_until_told
from support.kind.model import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
PHOTOS = 200


def test_photos_become_rows_and_kubectl_tells_the_story(cluster: Cluster) -> None:
    folder = share_photos(cluster, "photos", PHOTOS)
    (folder / "photos" / "zz-damaged.jpg").write_bytes(b"not a photo")
    cluster.apply(job(cluster, "photos"))
    done = cluster.wait_for_phase("photos", "Succeeded", "Failed")
    status = done["status"]
    assert status["phase"] == "Succeeded", status
    assert (status["images"], status["progress"]["imagesDone"]) == (PHOTOS + 1, PHOTOS + 1)
    assert status["progress"]["imagesFailed"] == 1
    assert condition(done, "DeadlineMet")["status"] == "True"
    assert (status["plan"]["gpus"], status["plan"]["lowerBound"]) == (1, 1)

    parts = parts_in(folder / "rows")
    rows = ds.dataset([str(part) for part in parts]).to_table().sort_by("index").to_pylist()
    assert [row["index"] for row in rows] == list(range(PHOTOS + 1))
    assert [row["uri"].rpartition("/")[2] for row in rows if row["error"]] == ["zz-damaged.jpg"]
    assert (folder / "rows" / "_SUCCESS").exists()
    headings, row = cluster.kubectl("get", "infj", "photos").splitlines()
    assert headings.split() == ["NAME", "PHASE", "GPUS", "IMAGES", "ENDS", "SLACK", "AGE"]
    # It has no device any more.
    assert row.split()[:4] == ["photos", "Succeeded", f"{PHOTOS + 1}/{PHOTOS + 1}", status["ends"]]
    selected = cluster.kubectl("get", "infj", "--field-selector", "status.phase=Succeeded", "-o", "name")
    assert "inferencejob.dueby.dev/photos" in selected.splitlines()


def test_a_source_that_cannot_be_read_fails_the_job_with_its_reason(cluster: Cluster) -> None:
    share_photos(cluster, "nowhere", 1)
    cluster.apply(job(cluster, "nowhere", source={"uri": "/data/nothing-here"}))
    failed = condition(cluster.wait_for_phase("nowhere", "Failed"), "Failed")
    assert failed["reason"] == "IndexFailed"
    assert "/data/nothing-here" in failed["message"]


def test_a_hard_deadline_out_of_reach_is_refused_with_what_would_do(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    share_photos(cluster, "hard", 1)
    asked = {"images": 10**7, "source": {"synthetic": {}}, "deadline": "2m", "deadlineClass": "Hard"}
    manifest = tmp_path / "hard.yaml"
    manifest.write_text(yaml.safe_dump(job(cluster, "hard", **asked)))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    code, answer = main(["plan", "-f", str(manifest), "--cluster", "-o", "json"]), json.loads(capsys.readouterr().out)
    assert (code, answer["jobs"][0]["action"], answer["assumptions"]) == (3, "Refuse", [])
    assert answer["jobs"][0]["message"]
    assert not cluster.attempt("get", "infj", "hard")[0]  # it was only looked at

    def refused_on_idle_devices() -> dict[str, Any] | None:
        cluster.apply(job(cluster, "hard", **asked))
        document = cluster.wait_for_phase("hard", "Failed")
        assert condition(document, "Feasible")["status"] == "False"
        if "largestImages" in document["status"]["alternatives"]:
            return document
        cluster.kubectl("delete", "infj", "hard")
        return None

    # Beside a pod that is just leaving, or has no node yet and may be another file's, fewer images are no advice.
    document = cluster.wait(refused_on_idle_devices, "it is refused while every device is idle")
    assert "move the deadline to" in condition(document, "Feasible")["message"]
    assert document["status"]["alternatives"]["largestImages"] < 10**7
    assert not cluster.items("jobs", "dueby.dev/job=hard")  # nor an index step: nothing is to be listed


def test_a_suspended_job_gives_its_devices_back_and_goes_on_where_it_was(cluster: Cluster) -> None:
    folder = share_photos(cluster, "suspended", 3000)
    cluster.apply(slow_job(cluster, "suspended"))
    cluster.wait_for_phase("suspended", "Running")
    cluster.wait(lambda: parts_in(folder / "rows"), "a part is there")
    cluster.apply(slow_job(cluster, "suspended", suspend=True))
    cluster.wait(
        lambda: not cluster.items("pods", "dueby.dev/job=suspended,dueby.dev/step=work"), "its workers are gone"
    )
    kept = {path: path.stat().st_mtime_ns for path in parts_in(folder / "rows")}
    assert condition(cluster.get("infj", "suspended"), "Admitted")["reason"] == "Suspended"

    cluster.apply(slow_job(cluster, "suspended", suspend=False))
    done = cluster.wait_for_phase("suspended", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert indices_of(folder / "rows") == list(range(3000))


def test_an_edited_deadline_is_taken_and_another_source_refused(cluster: Cluster) -> None:
    folder = share_photos(cluster, "edited", 3000)
    cluster.apply(slow_job(cluster, "edited"))
    before = cluster.wait_for_phase("edited", "Running")["status"]["deadlineTime"]
    refused = cluster.edit_refusal(slow_job(cluster, "edited", source={"uri": "/data/others"}))
    assert "spec.source: can't change once the images are counted" in refused
    cluster.apply(slow_job(cluster, "edited", deadline="20m"))
    done = cluster.wait_for_phase("edited", "Succeeded", "Failed")
    assert done["status"]["deadlineTime"] > before
    assert indices_of(folder / "rows") == list(range(3000))


def test_a_job_without_a_profile_waits_and_says_what_to_do(cluster: Cluster) -> None:
    share_photos(cluster, "unprofiled", 1)
    cluster.apply(job(cluster, "unprofiled", model={**MODEL, "imageSize": 160}))
    said = wait_until_told(cluster, "unprofiled", "Profiled")
    assert (said["status"], said["reason"]) == ("False", "NoProfile")
    assert "at 160 px" in said["message"]
    cluster.kubectl("delete", "infj", "unprofiled")


def test_a_finished_job_goes_after_its_time_to_live_and_its_rows_stay(cluster: Cluster) -> None:
    folder = share_photos(cluster, "brief", 50)
    cluster.apply(job(cluster, "brief", ttlAfterFinished="1s"))
    cluster.wait(lambda: not cluster.attempt("get", "infj", "brief")[0], "it is gone")
    assert indices_of(folder / "rows") == list(range(50))


def test_a_deleted_job_is_gone_with_its_pods_and_keeps_its_rows(cluster: Cluster) -> None:
    folder = share_photos(cluster, "deleted", 3000)
    cluster.apply(slow_job(cluster, "deleted"))
    cluster.wait_for_phase("deleted", "Running")
    cluster.wait(lambda: parts_in(folder / "rows"), "a part is there")
    cluster.kubectl("delete", "infj", "deleted")
    cluster.wait(lambda: not cluster.items("jobs,pods", "dueby.dev/job=deleted"), "its Jobs and pods are gone")
    assert parts_in(folder / "rows")
