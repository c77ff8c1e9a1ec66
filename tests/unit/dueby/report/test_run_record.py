"""The run's record: every declared field is written by some run, and the report makes something of each."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from dueby.local.record import Record
from dueby.report.page import Report, render_page
from dueby.report.run import parse_run
from dueby_api.calendar import PlannedWindow
from dueby_api.grid import Share
from dueby_api.plan import CostOfOthers, PlanAnswer, PlannedGroup, PlannedWorker
from dueby_api.run_record import (
    MachineRecord,
    PlanFile,
    ProgressFile,
    ReplanRecord,
    Revision,
    Summary,
    WorkerRecord,
)
from dueby_api.schema import Spec
from dueby_pages.wording import reason
from dueby_planner.deadline_classes import judge
from dueby_planner.model.cost import Price, Tariff
from dueby_planner.model.input_cost import GPUStep
from dueby_planner.schedule.job import StartReason
from support.planner import choice, group, problem, store_feed
from support.run_record import BY_WINDOWS, SECOND, START_US, Written, assignment, process, record

KINDS = (
    PlanFile,
    Revision,
    PlanAnswer,
    CostOfOthers,
    PlannedGroup,
    PlannedWindow,
    PlannedWorker,
    ProgressFile,
    WorkerRecord,
    ReplanRecord,
    MachineRecord,
    Summary,
)
FIELDS = [(kind, found.name) for kind in KINDS for found in msgspec.structs.fields(kind)]
# The operator keeps the same type in a ConfigMap, to go on with its workers after a restart; these are for it alone.
OWN = ("revision", "share", "start_us", "step_ratio", "until_us", "pool")
FOR_THE_OPERATOR = {(PlannedWorker, name) for name in OWN}
# A run on this machine knows no pool of nodes, and no devices that are taken away.
NOT_OF_A_RUN = {(PlannedWindow, "pool"), (PlannedWorker, "provision_us"), (PlannedWorker, "spot")}


# Three cores that decode a mini-batch before the GPU has done another one.
BESIDE_GPU: dict[str, Any] = {"cores": 3, "beside": GPUStep(model_us=500_000, core_us=1_200_000)}

TARIFF = Tariff(currency="EUR", prices={"a": Price(hourly=10**6)})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, ...]:
    """One in time, at a size that was not measured; a Soft one that can't be, with a slow store; one by windows."""
    sizes = choice(8, 500_000, 2 * SECOND, interpolation="the next larger size's", engine="openvino")
    folder = tmp_path_factory.mktemp("worker")
    questions = (
        problem(group(sizes, count=2), images=160, time=29 * SECOND, confidence=0.95, run=0.01, tariff=TARIFF),
        problem(group(replace(sizes, **BESIDE_GPU), count=2), images=160, time=3 * SECOND, feed=store_feed(20)),
    )
    feasible, late = (judge(question, "Soft") for question in questions)
    assert feasible.plan
    assert late.infeasible
    assert late.plan
    return (*(record(verdict, folder) for verdict in (feasible, late)), record(None, folder, by_windows=BY_WINDOWS))


def within(value: object) -> Iterator[Spec]:
    """Each part of a document."""
    if isinstance(value, Spec):
        yield value
        for found in msgspec.structs.fields(type(value)):
            yield from within(getattr(value, found.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from within(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from within(item)


def default_of(kind: type[Spec], name: str, *, otherwise: object = None) -> object:
    (found,) = (one for one in msgspec.structs.fields(kind) if one.name == name)
    if found.default_factory is not msgspec.NODEFAULT:
        return found.default_factory()
    return otherwise if found.default is msgspec.NODEFAULT else found.default


def test_what_workers_did_after_the_last_sample_is_not_lost(tmp_path: Path) -> None:
    written = Record(start_us=START_US, deadline_us=START_US + 30 * SECOND, images=160, cost=None)
    workers = [
        process(assignment(name, share=Share(first=0, end=10)), images=images, folder=tmp_path)
        for name, images in (("w0", 74), ("w1", 80))
    ]
    written.sample(workers, now_us=START_US + SECOND, done=154, failed=0)
    # The sink was listed after the workers were asked.
    written.sample(workers, now_us=START_US + 2 * SECOND, done=160, failed=0)
    workers[0].progress = workers[0].progress.replace(images_done=80)
    written.close(workers, now_us=START_US + 2 * SECOND)
    samples = {name: worker.samples for name, worker in written.progress_file(workers).workers.items()}
    assert [own[-1] for own in samples.values()] == [(2.0, 80), (2.0, 80)]


def test_every_declared_field_is_written_by_some_run(runs: tuple[Written, ...]) -> None:
    parts = [part for run in runs for document in run.documents().values() for part in within(document)]
    unwritten = [
        f"{kind.__name__}.{name}"
        for kind, name in FIELDS
        if (kind, name) not in NOT_OF_A_RUN
        and all(getattr(part, name) == default_of(kind, name) for part in parts if type(part) is kind)
    ]
    assert not unwritten


@pytest.mark.parametrize(("kind", "name"), [field for field in FIELDS if field not in FOR_THE_OPERATOR | NOT_OF_A_RUN])
def test_the_report_makes_something_of_every_field(kind: type[Spec], name: str, runs: tuple[Written, ...]) -> None:
    """With another value in the field the page is another one, if not of the whole record, then of an older one."""
    assert any(
        page_of(documents) != page_of({file: change(document) for file, document in documents.items()})
        for run in runs
        for documents in variants(run.documents())
        for change in (
            partial(changed, kind=kind, name=name, to=lambda value: default_of(kind, name, otherwise=value)),
            partial(changed, kind=kind, name=name, to=another),
        )
    )


def test_a_plan_by_windows_is_a_table_of_them(runs: tuple[Written, ...]) -> None:
    by_windows = runs[-1]
    page = page_of(by_windows.documents())
    (table,) = re.findall(r"<table>((?:(?!</table>).)*images together.*?)</table>", page, re.DOTALL)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    # The workers have begun 1 s after the run.
    assert rows == [["a", "openvino", "1s", "8s", "2", "8", "160"], ["a", "openvino", "20s", "27s", "3", "16", "96"]]
    assert "Without other jobs 1 GPU would be enough." in page
    # Three workers were started, but on two devices.
    assert (by_windows.summary.gpus, by_windows.summary.probability) == (2, 0.97)
    assert by_windows.summary.curve is None


@pytest.mark.parametrize("name", get_args(StartReason))
def test_the_page_has_words_for_each_reason_to_start_or_stop_workers(name: StartReason) -> None:
    assert " " in reason(name)


def variants(documents: dict[str, Spec]) -> Iterator[dict[str, Spec]]:
    """The record; what is left of it when the run is killed; and without the sentences that say the same once more."""
    yield documents
    for missing in documents:
        yield {file: document for file, document in documents.items() if file != missing}
    silent = partial(changed, kind=ReplanRecord, name="message", to=lambda _: None)
    yield {file: silent(document) for file, document in documents.items()}


def page_of(documents: dict[str, Spec]) -> str:
    files = {file: json.dumps(document.document()).encode() for file, document in documents.items()}
    run = parse_run("20261125T020005Z", files)
    assert len(run.notes) == 4 - len(files)  # none of those that are there is damaged
    return render_page(Report(sink="file:///results", run=run, parts=20, failed=(), photos=()))


def changed(value: Any, *, kind: type[Spec], name: str, to: Callable[[Any], Any]) -> Any:
    """The document with another value in every field of that name."""
    again = partial(changed, kind=kind, name=name, to=to)
    if isinstance(value, Spec):
        changes = {found.name: again(getattr(value, found.name)) for found in msgspec.structs.fields(type(value))}
        if type(value) is kind:
            changes[name] = to(changes[name])
        return value.replace(**changes)
    if isinstance(value, Mapping):
        return {key: again(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map(again, value))
    return value


def another(value: Any) -> Any:
    """Something else of the same type, as far as there is."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"openvino": "eager", "Succeeded": "Late", "Late": "Failed"}.get(value, f"{value}x")
    if value and isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return (*value, "one more")
    return value / 2 if isinstance(value, float) else value * 2 + 1 if isinstance(value, int) else value
