"""Stores that keep workers waiting: when a condition says so, and in which words."""

import pytest

from support.decisions import Document, Look, Started, a_batch, look, started, worker_job_of


def seen(begun: Started, *waits: Document | None) -> Look:
    """The job whose workers wait for these stores."""
    progress = {pod["metadata"]["name"]: a_batch(waitsFor=wait) for pod, wait in zip(begun.pods, waits, strict=False)}
    return look(begun.job(progress=progress))


def a_wait(store: str = "sink", *, seconds: float = 40, error: str = "no space left on device") -> Document:
    return {"store": store, "seconds": seconds, "error": error}


def test_a_full_sink_is_said_until_the_workers_go_on() -> None:
    begun = started()
    count = len(begun.pods)
    found = seen(begun, a_wait(), a_wait(seconds=11, error="disk quota exceeded"))
    assert found.said("OnTrack") == ("False", "SinkNotWritable")
    assert found.message("OnTrack") == (
        f"2 of {count} workers can't write to rows: no space left on device. Free space, renew the credentials or fix "
        "the store: the workers go on by themselves then, and no row is lost."
    )
    assert seen(begun, None).said("OnTrack") == ("True", "InTime")


def test_a_wait_that_goes_on_changes_no_message() -> None:
    begun = started()
    assert seen(begun, a_wait(seconds=40)).status.conditions == seen(begun, a_wait(seconds=42)).status.conditions


def test_a_source_that_is_away_is_said() -> None:
    found = seen(started(), a_wait("source", error=""))
    assert found.said("OnTrack") == ("False", "SourceNotReadable")
    assert "can't read from photos: it does not answer. Renew" in found.message("OnTrack")


@pytest.mark.parametrize("wait", [a_wait(seconds=9), a_wait("source", seconds=2), None])
def test_a_store_that_fails_for_a_moment_is_no_news(wait: Document | None) -> None:
    assert seen(started(), wait).said("OnTrack") == ("True", "InTime")


def test_a_worker_that_has_ended_waits_for_nothing() -> None:
    begun = started()
    (create,) = begun.look.created
    ended = f"0-{len(begun.pods) - 1}"
    progress = {pod["metadata"]["name"]: a_batch(waitsFor=a_wait()) for pod in begun.pods}
    found = look(begun.job(worker_jobs=[worker_job_of(create, failedIndexes=ended)], progress=progress))
    assert found.said("OnTrack")[1] != "SinkNotWritable"
