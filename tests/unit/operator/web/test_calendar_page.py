"""The calendar that the operator shows: jobs, their devices, what is free, and no more work than is asked for."""

import itertools
import re
from dataclasses import replace
from typing import Any

from dueby_api.status import JobStatus, WindowStatus
from dueby_api.units import MICROS_PER_SECOND, format_time
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_operator.web.calendar_page import DRAW_EVERY_S, MAX_CLASSES, MAX_HOLDS, MAX_JOBS, OLD_S, REST, CalendarPage
from support.decisions import NOW, SETTINGS, Started, cluster, infj, job, node, node_document, started
from support.operator import plan_status
from support.report_page import Elements, words_of
from support.shared_cluster import SharedCluster

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def words(snapshot: ClusterSnapshot) -> str:
    """What the page of the snapshot says."""
    return words_of(drawn(snapshot))


def drawn(snapshot: ClusterSnapshot) -> str:
    page = CalendarPage()
    page.show(snapshot, snapshot.devices)
    text = page.draw()
    assert text is not None
    return text.decode()


def running(**spec: Any) -> tuple[Started, JobSnapshot]:
    """A job whose pods run, with the times that its status says of them."""
    found = started(**spec)
    status = found.look.status.replace(phase="Running", gpus=len(found.pods))
    return found, found.job(document=infj(status=status.document(), **spec))


def taken(found: Node, cores: float) -> Node:
    """The node with so many cores less."""
    return replace(found, free={**found.free, "cpu": found.free["cpu"] - cores})


def gpus(name: str, device_class: str, count: int) -> Node:
    """A node with so many GPUs of a class."""
    document = node_document(name)
    document["metadata"]["labels"]["nvidia.com/gpu.product"] = device_class
    document["status"]["allocatable"]["nvidia.com/gpu"] = str(count)
    return read_node(parse(NodeObject, document))


def waiting(name: str, *, windows: int = 0, namespace: str = "team", **status: Any) -> JobSnapshot:
    """A job that waits for its windows."""
    document = infj(metadata={"name": name, "namespace": namespace, "uid": f"u-{name}"}, deadlineClass="Hard")
    moments = [format_time(NOW + seconds * MICROS_PER_SECOND) for seconds in (60, 90)]
    found = WindowStatus(
        device_class="cpu-1",
        engine="eager",
        from_time=moments[0],
        to_time=moments[1],
        count=1,
        mini_batch_size=16,
        images=100,
    )
    plan = plan_status(moments[1], windows=(found,) * windows)
    more = {"phase": "Scheduled", "deadline_time": moments[1], "plan": plan if windows else None, **status}
    return replace(job(document), status=JobStatus(**more))


def test_it_shows_jobs_with_the_devices_that_their_pods_have_and_what_others_have() -> None:
    found, at_work = running(deadline="30s")
    held = len(found.pods)
    # The workers, and three cores of pods that are no workers.
    nodes = {"n": taken(node("n", 16), held + 3)}
    text = words(cluster(at_work, waiting("later", windows=2, namespace="shop"), nodes=nodes))
    assert "2 jobs in the cluster" in text
    assert f"team/job Soft Running {held} " in text
    assert "shop/later Hard Scheduled 1 " in text
    assert f"cpu-1 · 16 devices, at most {held} held at once, 3 by other pods now" in text
    assert text.rstrip().endswith("Made by the operator.")


def test_a_pod_without_a_node_has_no_device_yet_and_one_that_starts_has_one() -> None:
    found, at_work = running(deadline="30s")
    assert len(found.pods) == 3
    starts, waits, ended = found.pods
    pods = [
        {**starts, "status": {"phase": "Pending"}},
        {**waits, "status": {"phase": "Pending"}, "spec": {}},
        {**ended, "status": {"phase": "Succeeded"}},
    ]
    seen = replace(found.job(pods=pods), status=at_work.status)
    assert "cpu-1 · 8 devices, at most 1 held at once" in words(cluster(seen, nodes={"n": taken(node(), 1)}))


def test_all_gpus_are_shown_and_slices_only_where_a_job_has_them() -> None:
    nodes = {"a": gpus("a", "A100", 4), "b": gpus("b", "L4", 2), "n": node()}
    text = words(cluster(nodes=nodes))
    assert "0 jobs in the cluster No job has devices or waits for some." in text
    assert "A100 · 4 devices, none held" in text
    assert "L4 · 2 devices, none held" in text
    assert "cpu-1" not in text
    assert "cpu-1 · 8 devices, at most 1 held at once" in words(cluster(waiting("x", windows=1), nodes=nodes))


def test_nodes_that_are_silent_or_not_ready_count_no_more() -> None:
    nodes = {name: gpus(name, "A100", 4) for name in ("a", "b")}
    nodes["c"] = replace(gpus("c", "A100", 4), is_ready=False)
    assert "A100 · 4 devices, none held" in words(cluster(nodes=nodes, silent_nodes=frozenset({"a"})))


def test_a_refusal_is_told_with_its_proof() -> None:
    shared = SharedCluster({"a": 4})
    shared.add("promised", images=22_000, deadline_s=60)
    shared.decide()
    shared.add("refused", images=22_000, deadline_s=60)
    shared.decide()
    jobs = [running.snapshot for running in shared.jobs.values()]
    text = words(cluster(*jobs, now_us=shared.now_us))
    assert re.search(r"team/refused was refused at .* refused and promised need at least", text)
    assert "1 job is over: 1 Failed." in text
    assert "team/promised Hard" in text


def test_hostile_words_stay_words() -> None:
    late = waiting(HOSTILE, namespace=HOSTILE, phase="Queued", message=HOSTILE)
    elements = Elements(drawn(cluster(late, uncounted=HOSTILE))).found
    assert not {name for name, _ in elements} & {"script", "img", "iframe", "object", "base", "meta http-equiv"}
    assert not [name for name, attributes in elements for key in attributes if key.startswith("on")]


def test_what_makes_it_unsure_what_is_free_is_said() -> None:
    blind = replace(SETTINGS, watch_namespaces=("team",), ignores_other_pods=True)
    assert "devices that they use count as free" in words(cluster(settings=blind))


def test_a_status_that_makes_no_sense_is_told_of_and_the_others_are_shown() -> None:
    text = words(cluster(waiting("bad", deadline_time="noon"), waiting("good", windows=1)))
    assert "team/bad can't be read: status.deadlineTime: must be a time" in text
    assert "team/good Hard" in text


def test_it_is_drawn_when_it_is_asked_for_and_at_most_once_a_second() -> None:
    clock = Clock()
    page = CalendarPage(clock_s=clock)
    assert page.draw() is None
    page.show(cluster(), cluster().devices)
    empty = page.draw()
    page.show(cluster(waiting("a")), cluster().devices)
    assert page.draw() is empty
    clock.now_s += DRAW_EVERY_S
    one = page.draw()
    assert one is not None
    assert b"team/a" in one


def test_a_page_that_takes_long_is_drawn_less_often() -> None:
    # Each look at this clock takes a second, and so does a drawing.
    times = itertools.count()
    page = CalendarPage(clock_s=lambda: float(next(times)))
    page.show(cluster(), cluster().devices)
    first = page.draw()
    assert all(page.draw() is first for _ in range(REST - 2))
    assert page.draw() is not first


def test_a_page_of_an_operator_that_has_stopped_looking_says_so() -> None:
    clock = Clock()
    page = CalendarPage(clock_s=clock)
    page.show(cluster(), cluster().devices)
    told = []
    for now_s in (OLD_S, OLD_S + 60):
        clock.now_s = now_s
        told.append(re.findall(r"the operator has not looked at the cluster for \w+", (page.draw() or b"").decode()))
    assert told == [[], ["the operator has not looked at the cluster for 2m00s"]]


def test_of_more_jobs_than_there_is_room_for_those_with_devices_are_shown_first() -> None:
    crowd = [waiting(f"idle-{number:04}") for number in range(MAX_JOBS)]
    text = words(cluster(*crowd, waiting("busy", windows=3)))
    assert f"{MAX_JOBS} jobs in the cluster" in text
    assert "1 other job can't be shown here: there are too many." in text
    assert "team/busy" in text


def test_of_plans_with_more_windows_than_there_is_room_for_as_many_are_shown_as_fit() -> None:
    wide = [waiting(name, windows=MAX_HOLDS // 2) for name in "abc"]
    text = words(cluster(*wide, waiting("narrow")))
    assert "2 jobs in the cluster" in text
    assert "2 other jobs can't be shown here: there are too many." in text


def test_of_more_classes_than_there_is_room_for_those_in_use_are_shown_first() -> None:
    names = [f"gpu-{number:03}" for number in range(MAX_CLASSES + 1)]
    used = waiting("x", windows=1)
    assert used.status.plan is not None
    window = used.status.plan.windows[0].replace(device_class=names[-1])
    used = replace(used, status=used.status.replace(plan=used.status.plan.replace(windows=(window,))))
    text = words(cluster(used, nodes={name: gpus(name, name, 1) for name in names}))
    assert f"{names[-1]} · 1 device, at most 1 held at once" in text
    assert f"{names[-2]} ·" not in text
