"""Sinks that refuse, that lack conditional writes, or that ignore them: a real S3 server behind a proxy with faults."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dueby_api.errors import Invalid
from dueby_worker.output.sink import require_create_only, sweep_sink
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import StoreWaits
from support.fault_proxy import BUSY, FORBIDDEN, NOT_IMPLEMENTED, Fault, FaultProxy, Refusal, Request, no_fault
from support.index import PATIENT
from support.processes import ProcessJob, make_photos, wait_for
from support.s3 import S3Server, free_port

pytestmark = pytest.mark.s3


@pytest.fixture
def sink(server: S3Server, request: pytest.FixtureRequest) -> str:
    """A part of the bucket that no other test uses."""
    return server.uri(re.sub(r"\W+", "-", request.node.name))


def refuse_writes(refusal: Refusal, *, conditional_only: bool = False) -> Fault:
    def fault(request: Request) -> Refusal | None:
        is_refused = request.method == "PUT" and (request.is_conditional or not conditional_only)
        return refusal if is_refused else None

    return fault


def objects_in(server: S3Server, sink: str) -> list[Path]:
    folder = server.folder / sink.removeprefix(server.uri())
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_good_store_passes_and_keeps_nothing(server: S3Server, proxy: FaultProxy, sink: str) -> None:
    require_create_only(open_store(sink, retry=PATIENT))
    assert proxy.asked("PUT", "_dueby/probe-") == 2
    assert not objects_in(server, sink)


def test_a_store_without_conditional_writes_is_refused_at_once(proxy: FaultProxy, sink: str) -> None:
    proxy.fault = refuse_writes(NOT_IMPLEMENTED, conditional_only=True)
    with pytest.raises(Invalid, match=r"^spec.sink.uri: .*not implemented\. Results need a store with conditional"):
        require_create_only(open_store(sink, retry=PATIENT))
    assert proxy.asked("PUT", "") == 1


def test_a_store_that_ignores_conditions_is_found_out(server: S3Server, proxy: FaultProxy, sink: str) -> None:
    def forget(request: Request) -> None:
        """Have the server find no object where one is to be created, as if it didn't look."""
        if request.is_conditional:
            (server.folder.parent / urlsplit(request.path).path.lstrip("/")).unlink(missing_ok=True)

    proxy.fault = forget
    with pytest.raises(Invalid, match=r"lets a second writer replace an object\. Results need a store with"):
        require_create_only(open_store(sink, retry=PATIENT))
    assert not objects_in(server, sink)


def test_a_probe_that_is_swept_meanwhile_is_not_taken_for_one_that_was_replaced(
    server: S3Server, proxy: FaultProxy, sink: str
) -> None:
    def sweep_once(request: Request) -> None:
        if request.method == "PUT" and proxy.asked("PUT", "_dueby/probe-") == 2:
            sweep_sink(open_store(sink, retry=PATIENT))

    proxy.fault = sweep_once
    require_create_only(open_store(sink, retry=PATIENT))
    assert proxy.asked("PUT", "_dueby/probe-") == 3
    assert not objects_in(server, sink)


def test_a_sink_that_one_may_not_write_to_is_refused_at_once(proxy: FaultProxy, sink: str) -> None:
    proxy.fault = refuse_writes(FORBIDDEN)
    with pytest.raises(Invalid, match=r"^spec.sink.uri: .*can't be written: Access Denied$"):
        require_create_only(open_store(sink, retry=PATIENT))
    assert proxy.asked("PUT", "") == 1


def test_who_may_not_delete_may_use_the_sink_and_the_next_one_who_may_sweeps_it(
    server: S3Server, proxy: FaultProxy, sink: str
) -> None:
    proxy.fault = lambda request: FORBIDDEN if request.method == "DELETE" else None
    require_create_only(open_store(sink, retry=PATIENT))
    sweep_sink(open_store(sink, retry=PATIENT))
    assert proxy.asked("DELETE", "_dueby/probe-") == 2
    assert len(objects_in(server, sink)) == 1
    proxy.fault = no_fault
    sweep_sink(open_store(sink, retry=PATIENT))
    assert not objects_in(server, sink)


@pytest.mark.parametrize(("asked", "method"), [("create", "PUT"), ("list", "GET"), ("exists", "GET")])
def test_a_refusal_by_a_sink_that_was_written_to_is_waited_out(
    proxy: FaultProxy, sink: str, asked: str, method: str
) -> None:
    waits = StoreWaits("sink")
    store = open_store(sink, retry=replace(PATIENT, waits=waits))
    assert store.create("part-0", b"rows")
    proxy.fault = lambda request: FORBIDDEN if request.method == method else None
    answers: list[object] = []
    asking: dict[str, Callable[[], object]] = {
        "create": lambda: store.create("part-1", b"rows"),
        "list": store.list_names,
        # Its first byte is asked for: an answer to HEAD has no words.
        "exists": lambda: store.exists("part-1"),
    }
    thread = threading.Thread(target=lambda: answers.append(asking[asked]()))
    thread.start()
    said = wait_for(lambda: waits.longest(now_s=0), "a call that waits")
    assert re.search("(?i)access.denied", said.error)
    proxy.fault = no_fault
    thread.join(60)
    assert answers == [{"create": True, "list": ["part-0"], "exists": False}[asked]]


def test_a_sink_is_tried_once_by_the_step_that_begins_it(proxy: FaultProxy, sink: str, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 16)
    job = ProcessJob(folder=tmp_path, source={"uri": str(photos)}, sink=sink, images=16, part_size=8)
    fingerprint = job.index_here()["fingerprint"]
    assert proxy.asked("PUT", "_dueby/probe-") == 2
    job.work_here(fingerprint=fingerprint)
    assert job.finish_here()["rows"] == 16
    assert proxy.asked("PUT", "_dueby/probe-") == 2


def test_without_an_index_step_the_first_worker_tries_the_sink(proxy: FaultProxy, sink: str, tmp_path: Path) -> None:
    source = {"synthetic": {"width": 64, "height": 64}}
    job = ProcessJob(folder=tmp_path, source=source, sink=sink, images=16, part_size=8, workers=2)
    for place in range(2):
        job.work_here(place)
    assert proxy.asked("PUT", "_dueby/probe-") == 2


def test_a_worker_that_is_started_while_its_key_is_revoked_says_so_and_then_does_its_work(
    proxy: FaultProxy, sink: str, tmp_path: Path
) -> None:
    photos = make_photos(tmp_path / "photos", 16)
    job = ProcessJob(folder=tmp_path, source={"uri": str(photos)}, sink=sink, images=16, part_size=8)
    fingerprint = job.index_here()["fingerprint"]
    proxy.fault = lambda request: FORBIDDEN
    try:
        worker = job.work(fingerprint=fingerprint)
        said = wait_for(lambda: worker.progress().get("waitsFor"), "a worker that says what it waits for")
        assert said["store"] == "sink"
        assert re.search("(?i)permission denied|access.denied", said["error"])
        proxy.fault = no_fault
        assert worker.result()["progress"].get("waitsFor") is None
    finally:
        job.stop_all()
    assert job.finish_here()["rows"] == 16


@pytest.mark.parametrize("step", ["index", "finish"])
def test_a_step_says_which_store_it_waits_for_and_then_does_its_work(
    server: S3Server, proxy: FaultProxy, sink: str, tmp_path: Path, step: str
) -> None:
    photos = make_photos(tmp_path / "photos", 16)
    job = ProcessJob(folder=tmp_path, source={"uri": str(photos)}, sink=sink, images=16, part_size=8)
    if step == "finish":
        job.work_here(fingerprint=job.index_here()["fingerprint"])
    port = free_port()
    proxy.fault = lambda request: BUSY
    try:
        at_work = job.index(port=port) if step == "index" else job.finish(port=port)
        (at_work.folder / "port").write_text(str(port))
        said = wait_for(lambda: at_work.progress().get("waitsFor"), "a step that says what it waits for")
        assert said["store"] == "sink"
        # As the library says it by which the step looked first.
        assert "503" in said["error"] or "Service Unavailable" in said["error"]
        proxy.fault = no_fault
        assert at_work.result()
    finally:
        job.stop_all()
