"""What was promised to a job is kept while nothing is decided about the job itself."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control import schedule as control
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from dueby_planner.schedule import schedule
from support.decisions import NOW, SECOND, Document, Look, cluster, indexed, infj, job, look_at, node
from support.operator import profile

NODES = {"n": node(cpus=1)}
THEN = NOW + 70 * SECOND
PROMISED: Document = {"deadlineClass": "Hard", "deadline": "140s"}
RESTING = JobMemory(faults=1, retry_us=THEN + 4 * SECOND)
FORBIDDEN = JobMemory(refused_until_us=THEN + 20 * SECOND)


def made(name: str, status: Document | None = None, **spec: Any) -> Document:
    return infj(status=status or indexed(), metadata={"name": name, "uid": f"u-{name}", "namespace": name}, **spec)


def looks(*jobs: JobSnapshot, now_us: int = NOW) -> dict[str, Look]:
    return {each.decision.job.name: each for each in look_at(cluster(*jobs, nodes=NODES, now_us=now_us))}


@pytest.fixture
def promised() -> Look:
    """A job to which the only device is promised as soon as another Hard job is done with it."""
    found = looks(job(made("first", deadlineClass="Hard", deadline="75s")), job(made("promised", **PROMISED)))[
        "promised"
    ]
    assert found.said("Feasible") == ("True", "Reserved")
    return found


def left_alone(promised: Look, memory: JobMemory, **seen: Any) -> JobSnapshot:
    document = made("promised", promised.status.document(), **PROMISED)
    return replace(job(document, memory=memory), **seen)


def begins(seen: JobSnapshot, *, now_us: int = THEN, **spec: Any) -> bool:
    """Return whether another job takes the device."""
    found = looks(seen, job(made("other", **spec)), now_us=now_us)
    return bool(found["other"].created)


@pytest.mark.parametrize(
    ("memory", "seen"),
    [
        pytest.param(JobMemory(), {"unreadable": "the API server: TimeoutError()"}, id="it can't be read"),
        pytest.param(JobMemory(), {"forbidden": "no"}, id="it must not be read"),
        pytest.param(RESTING, {}, id="it rests after a fault"),
        pytest.param(FORBIDDEN, {}, id="its workers were forbidden"),
        pytest.param(JobMemory(), {"is_under_way": True}, id="what was decided is still being written"),
    ],
)
@pytest.mark.parametrize("other", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_promised_device_is_kept(promised: Look, memory: JobMemory, seen: dict[str, Any], other: str) -> None:
    assert not begins(left_alone(promised, memory, **seen), deadlineClass=other, deadline="3600s")


@pytest.mark.parametrize("name", ["build_job", "find_holds"])
@pytest.mark.parametrize("error", [ZeroDivisionError("one of them"), Invalid("profiles", "contradict each other")])
def test_it_is_kept_in_the_very_pass_in_which_the_job_fails(
    promised: Look, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = control if name == "build_job" else schedule
    original = getattr(module, name)

    def broken(about: Any, *more: Any) -> Any:
        if "promised" in repr(about.job.key if name == "build_job" else about.key):
            raise error
        return original(about, *more)

    monkeypatch.setattr(module, name, broken)
    seen = left_alone(promised, promised.memory)
    found = looks(seen, job(made("other", deadlineClass="Soft", deadline="3600s")), now_us=THEN)
    assert bool(found["promised"].decision.fault) != isinstance(error, Invalid)
    assert not found["other"].created


@pytest.mark.parametrize("other", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_promised_device_is_kept_while_a_policy_holds_the_job_back(promised: Look, other: str) -> None:
    """Here its profile is gone, as it is for a moment where somebody has it measured again."""
    found = profile()
    model = found.spec.model.replace(name="resnet18")
    of_other = found.replace(metadata=found.metadata.replace(name="other"), spec=found.spec.replace(model=model))
    jobs = [
        left_alone(promised, promised.memory),
        job(made("other", deadlineClass=other, deadline="3600s", model={"name": "resnet18"})),
    ]
    looked = look_at(cluster(*jobs, nodes=NODES, now_us=THEN, profiles=(of_other,)))
    by_name = {each.decision.job.name: each for each in looked}
    assert by_name["promised"].said("Profiled")[0] == "False"
    assert by_name["promised"].status.plan == promised.status.plan
    assert not by_name["other"].created


def test_what_the_api_server_has_forbidden_to_begin_on_is_kept_until_it_is_tried_again(promised: Look) -> None:
    begun = looks(left_alone(promised, promised.memory), now_us=THEN)["promised"]
    assert begun.created
    memory = replace(begun.memory, refused_until_us=THEN + 30 * SECOND)
    assert not begins(left_alone(begun, memory), deadlineClass="Soft", deadline="3600s")


def test_what_workers_begin_on_that_are_still_being_made_is_kept(promised: Look) -> None:
    begun = looks(left_alone(promised, promised.memory), now_us=THEN)["promised"]
    seen = left_alone(begun, begun.memory, is_under_way=True)
    assert not begins(seen, deadlineClass="Soft", deadline="3600s")


def test_what_was_promised_and_could_not_begin_in_time_comes_before_a_new_job(promised: Look) -> None:
    document = made("promised", promised.status.document(), deadlineClass="Hard", deadline="200s")
    seen = job(document, memory=promised.memory)
    # Its window has begun 17 s ago: what is left of it is too little, and only one of the two jobs can be in time.
    found = looks(seen, job(made("other", deadlineClass="Hard", deadline="190s")), now_us=NOW + 86 * SECOND)
    assert found["promised"].created
    assert not found["other"].created


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param({"suspend": True}, id="it is suspended"),
        pytest.param({"queueName": "nowhere"}, id="it has no queue"),
    ],
)
def test_a_device_is_not_kept_for_a_job_that_is_not_to_have_it(promised: Look, gone: dict[str, Any]) -> None:
    seen = job(made("promised", promised.status.document(), **PROMISED, **gone), memory=promised.memory)
    assert begins(seen, deadlineClass="Soft", deadline="3600s")
    # When it is to have one again, others may have been promised it.
    (found,) = look_at(cluster(seen, nodes=NODES, now_us=THEN))
    assert found.status.plan is None
    assert all(condition.reason != "Reserved" for condition in found.status.conditions)


@pytest.mark.parametrize(
    ("deadline", "then"),
    [
        pytest.param("100s", NOW + 101 * SECOND, id="its deadline has passed"),
        pytest.param("3600s", NOW + 200 * SECOND, id="its windows have"),
    ],
)
@pytest.mark.parametrize("other", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_device_is_not_kept_longer_than_it_was_promised(promised: Look, other: str, deadline: str, then: int) -> None:
    document = made("promised", promised.status.document(), deadlineClass="Hard", deadline=deadline)
    seen = replace(job(document), unreadable="no")
    assert begins(seen, now_us=then, deadlineClass=other, deadline="3600s")


def test_what_is_reserved_for_a_soft_job_is_not_kept_from_hard_ones(promised: Look) -> None:
    document = made("promised", promised.status.document(), **PROMISED | {"deadlineClass": "Soft"})
    soft = job(document, memory=RESTING)
    assert begins(soft, deadlineClass="Hard", deadline="140s")
    assert not begins(soft, deadlineClass="Soft", deadline="3600s")


@pytest.fixture
def uncountable(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a job of which the devices that it may use can't be counted."""
    original = ClusterDevices.groups

    def broken(self: ClusterDevices, claimants: Any) -> Any:
        if any(claimant.key[1] == "uncountable" for claimant in claimants):
            raise ZeroDivisionError("one of them")
        return original(self, claimants)

    monkeypatch.setattr(ClusterDevices, "groups", broken)
    return "uncountable"


def test_nobody_suffers_for_what_raises_about_a_job_that_is_left_alone(promised: Look, uncountable: str) -> None:
    alone = job(made(uncountable, promised.status.document(), **PROMISED), memory=RESTING)
    assert begins(alone, deadlineClass="Soft", deadline="3600s")


def test_nor_do_others_that_are_left_alone(promised: Look, uncountable: str) -> None:
    alone = job(made(uncountable, promised.status.document(), **PROMISED), memory=RESTING)
    other = job(made("other", deadlineClass="Soft", deadline="3600s"))
    found = looks(alone, left_alone(promised, RESTING), other, now_us=THEN)
    assert not found["other"].created


def test_nobody_suffers_for_windows_that_cannot_be_read(promised: Look) -> None:
    status = promised.status.document()
    windows = [{**window, "from": "soon"} for window in status["plan"]["windows"]]
    odd = made("promised", {**status, "plan": {**status["plan"], "windows": windows}}, **PROMISED)
    assert begins(job(odd, memory=RESTING), deadlineClass="Soft", deadline="3600s")
