"""The columns of a running job say what its workers do now, and those of a job that is over nothing of the future."""

from typing import Any

from dueby_api.parts import all_parts
from dueby_api.units import format_time, parse_time_us
from dueby_pages.cluster_calendar import shown_cluster
from dueby_pages.cluster_jobs import NamedStatus, cluster_jobs
from support.decisions import NOW, SECOND, a_batch, infj, look, started
from support.shared_cluster import SharedCluster


class Watched(SharedCluster):
    """A cluster whose columns are looked at after each pass."""

    def decide(self) -> None:
        super().decide()
        assert self.held_at_most() <= 4
        for name, running in self.jobs.items():
            # Not when its last worker has just given way.
            if self.status(name).phase == "Running" and running.alive and not running.is_done:
                self._look(name)

    def _look(self, name: str) -> None:
        status = self.status(name)
        assert status.progress.slack, f"{name} has no slack"
        assert status.ends == status.progress.expected_finish
        reason, message = self.said(name, "OnTrack")
        assert message or reason != "Late"

    def held_at_most(self) -> int:
        """How many devices `dueby calendar` says are held at once."""
        jobs = [
            NamedStatus(namespace="team", name=name, deadline_class="Hard", status=running.snapshot.status)
            for name, running in self.jobs.items()
            if not running.is_over
        ]
        shown = shown_cluster(cluster_jobs(jobs), now_us=self.now_us, with_namespaces=False)
        return max((pool.peak for pool in shown.pool), default=0)

    def allow(self, name: str, count: int) -> None:
        """Lower the job's gpus.max."""
        manifest: Any = self.jobs[name].snapshot.manifest
        self.edit(name, gpus=manifest.spec.gpus.replace(max=count))


def crowded() -> Watched:
    """A Hard job that has handed devices to another, once it runs in its windows."""
    cluster = Watched({"a": 4})
    cluster.add("long", images=150_000, deadline_s=300, gpus={"max": 4})
    cluster.run(20)
    cluster.add("short", images=20_000, deadline_s=80)
    cluster.run(280, until=lambda: "WindowBegins" in [reason for reason, _, _ in cluster.changes("long")])
    assert any(worker.assignment.until_us for worker in cluster.jobs["long"].alive)
    return cluster


def test_a_job_that_hands_devices_over_and_gets_them_back_has_a_slack_until_its_end() -> None:
    cluster = crowded()
    cluster.run(280, until=lambda: cluster.jobs["long"].is_done)
    assert cluster.jobs["long"].is_done


def test_a_job_whose_workers_are_slower_than_its_windows_has_a_slack() -> None:
    cluster = crowded()
    for worker in cluster.jobs["long"].workers:
        worker.speed = 0.7
    cluster.run(60)
    assert parse_time_us(cluster.status("long").ends) > parse_time_us(cluster.status("long").plan.expected_finish)


def test_after_gpus_max_was_lowered_the_columns_are_the_remaining_workers() -> None:
    cluster = crowded()
    planned = cluster.status("long").ends
    cluster.allow("long", 1)
    cluster.run(5)
    status = cluster.status("long")
    assert (status.gpus, status.ends > planned, status.progress.slack[0]) == (1, True, "-")
    assert cluster.said("long", "OnTrack") == (
        "Late",
        "The workers are expected to end after the deadline, and gpus.max allows no more than 1. "
        "Raise it, or set a later deadline.",
    )
    assert status.message == cluster.said("long", "OnTrack")[1]


def test_workers_that_can_only_end_together_go_on_when_gpus_max_is_lowered() -> None:
    cluster = Watched({"a": 4})
    cluster.add("queued", images=60_000, deadline_s=150, gpus={"max": 4})
    cluster.run(15)
    for worker in cluster.jobs["queued"].workers:
        worker.group = "one"
    cluster.allow("queued", 1)
    cluster.run(5)
    assert cluster.status("queued").gpus == len(cluster.jobs["queued"].alive) > 1
    assert cluster.said("queued", "OnTrack")[0] == "InTime"


def test_a_job_between_its_last_image_and_its_end_keeps_what_was_expected() -> None:
    begun = started()
    progress = {pod["metadata"]["name"]: a_batch() for pod in begun.pods}
    running = look(begun.job(progress=progress), now_us=NOW + SECOND)
    document = infj(status=running.status.document())
    complete = begun.job(document=document, progress=progress, parts_there=all_parts(10_000))
    found = look(complete, now_us=NOW + 2 * SECOND)
    assert found.status.progress
    assert found.status.progress.slack
    assert found.status.ends == running.status.ends


def test_a_job_that_has_failed_says_nothing_of_what_would_have_come() -> None:
    begun = started()
    progress = {pod["metadata"]["name"]: a_batch() for pod in begun.pods}
    running = look(begun.job(progress=progress), now_us=NOW + SECOND)
    assert running.said("OnTrack") == ("True", "InTime")
    document = infj(status=running.status.document(), onDeadline="Stop")
    failed = look(begun.job(document=document, progress=progress), now_us=NOW + 60 * SECOND)
    assert failed.status.phase == "Failed"
    assert (failed.status.gpus, failed.status.ends) == (None, format_time(NOW + 60 * SECOND))
    assert failed.status.progress
    assert (failed.status.progress.slack, failed.status.progress.images_per_second) == (None, 0)
    assert "OnTrack" not in [condition.type for condition in failed.status.conditions]
