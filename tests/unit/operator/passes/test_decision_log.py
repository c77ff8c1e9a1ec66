"""The log has a line for each plan, start, stop and refusal, once."""

import logging

import pytest

from dueby_operator.control.events import NewEvent
from dueby_operator.model.actions import Action, MeasureClass, StartStep, StopEverything, StopWorkers
from dueby_operator.passes.decision_log import DecisionLog
from support.decisions import infj, job

JOB = job(infj())


def told(
    log: DecisionLog, caplog: pytest.LogCaptureFixture, *actions: Action, events: tuple[NewEvent, ...] = ()
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        log.tell(JOB, actions, events)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("action", "line"),
    [
        pytest.param(StartStep(step="index"), "team/job: starts the index step", id="a step"),
        pytest.param(
            StopWorkers(workers=("a", "b"), reason="Lagging"), "team/job: stops 2 workers (Lagging)", id="a stop"
        ),
        pytest.param(MeasureClass(device_class="cpu-1"), "team/job: measures its model on cpu-1", id="a measurement"),
    ],
)
def test_what_is_done_is_a_line(action: Action, line: str, caplog: pytest.LogCaptureFixture) -> None:
    assert told(DecisionLog(), caplog, action) == [line]


def test_what_is_done_in_each_pass_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = DecisionLog()
    assert len(told(log, caplog, StopEverything())) == 1
    assert told(log, caplog, StopEverything()) == []
    assert told(log, caplog) == []
    assert len(told(log, caplog, StopEverything())) == 1


def test_a_refusal_is_a_line_and_no_more_than_one(caplog: pytest.LogCaptureFixture) -> None:
    refused = NewEvent(reason="Refused", message="no place", is_warning=True)
    assert told(DecisionLog(), caplog, events=(refused,)) == ["team/job: Refused: no place"]
