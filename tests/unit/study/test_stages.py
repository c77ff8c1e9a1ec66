"""A study's stages: which are chosen, that each point is measured once, and which folders a study refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study import presets
from dueby_study.context import StudyContext
from dueby_study.measurements import memory, times, together
from dueby_study.row_store import RowColumn, RowStore
from dueby_study.settings import begin, read_processor, settings_of
from dueby_study.stages import NAMES, STAGES, Stage, run_stages, select
from support.study import SUBJECT, a_context, a_profile

COLUMNS = (RowColumn(name="value", type="int64", doc="a value"), RowColumn(name="list", type="int64s", doc="some"))


class Trial:
    """A stage of three points that counts its measurements and may be interrupted at one of them."""

    def __init__(self, name: str = "trial", *, breaks_at: str | None = None) -> None:
        self.measured: list[str] = []
        self.breaks_at = breaks_at
        self.stage = Stage(
            name=name,
            points=lambda context: ("a", "b", "c"),
            measure=self.measure,
            seconds=lambda preset: 10.0,
            guess=lambda context: 3,
            needs=(),
        )

    def measure(self, context: StudyContext, point: str, listener: ProgressListener) -> None:
        listener.on_progress(ProgressUpdate(doing=f"point {point}", left_s=0.0))
        if point == self.breaks_at:
            raise KeyboardInterrupt
        self.measured.append(point)
        context.keep(self.stage.name, point, [{"value": len(self.measured), "list": [1, 2]}], COLUMNS)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        pytest.param([], list(NAMES), id="all of them"),
        pytest.param(["subject"], ["subject"], id="one that needs none"),
        pytest.param(["times"], ["subject", "times"], id="one, and what it needs"),
        pytest.param(["models", "memory"], ["subject", "memory", "models"], id="in the order of measuring"),
    ],
)
def test_the_stages_that_are_asked_for_and_what_they_need_are_chosen(asked: list[str], chosen: list[str]) -> None:
    assert [stage.name for stage in select(asked)] == chosen


def test_an_unknown_stage_is_refused_with_the_names_of_all_stages() -> None:
    with pytest.raises(Invalid, match="there is no stage 'memroy'; there are subject, memory, times"):
        select(["memroy"])


def test_each_point_is_measured_once(tmp_path: Path) -> None:
    trial = Trial()
    assert run_stages(a_context(tmp_path), [trial.stage]) == 3
    assert run_stages(a_context(tmp_path), [trial.stage]) == 0
    assert trial.measured == ["a", "b", "c"]
    assert [row["value"] for row in RowStore(tmp_path).rows("trial")] == [1, 2, 3]


def test_a_study_that_was_stopped_continues_at_the_point_where_it_was(tmp_path: Path) -> None:
    first, second = Trial(breaks_at="b"), Trial()
    with pytest.raises(KeyboardInterrupt):
        run_stages(a_context(tmp_path), [first.stage])
    assert run_stages(a_context(tmp_path), [second.stage]) == 2
    assert (first.measured, second.measured) == (["a"], ["b", "c"])


def test_an_incomplete_file_counts_as_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "trial"
    folder.mkdir(parents=True)
    (folder / ".dueby-half").write_bytes(b"half")
    trial = Trial()
    assert run_stages(a_context(tmp_path), [trial.stage]) == 3
    assert len(RowStore(tmp_path).rows("trial")) == 3


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    run_stages(a_context(tmp_path), [Trial().stage])
    (tmp_path / "raw" / "trial" / "b.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(Invalid, match="Delete it, and the same command measures the point again") as caught:
        RowStore(tmp_path).rows("trial")
    assert caught.value.field == str(tmp_path / "raw" / "trial" / "b.parquet")


def test_the_time_left_is_that_of_all_stages_and_shrinks(tmp_path: Path) -> None:
    moments: list[ProgressUpdate] = []
    context = a_context(tmp_path, listener=ProgressListener(on_progress=moments.append))
    run_stages(context, [Trial("one").stage, Trial("two").stage])
    left_s = [moment.left_s for moment in moments]
    assert left_s[0] == 60.0  # six points of ten seconds each
    assert left_s == sorted(left_s, reverse=True)
    assert moments[0].doing == "one: point a"


def test_measured_points_are_not_part_of_the_time_left(tmp_path: Path) -> None:
    run_stages(a_context(tmp_path), [Trial("two").stage])
    moments: list[ProgressUpdate] = []
    run_stages(
        a_context(tmp_path, listener=ProgressListener(on_progress=moments.append)),
        [Trial("one").stage, Trial("two").stage],
    )
    assert moments[0].left_s == 30.0


def test_what_stages_took_is_kept_over_runs(tmp_path: Path) -> None:
    run_stages(a_context(tmp_path), [Trial("one").stage])
    run_stages(a_context(tmp_path), [Trial("one").stage, Trial("two").stage])
    seconds = RowStore(tmp_path).seconds()
    assert set(seconds) == {"one", "two"}
    assert seconds["one"] == seconds["two"]
    log = tmp_path / "raw" / "log.jsonl"
    log.write_text('{"stage": "tw' + log.read_text())
    assert RowStore(tmp_path).seconds()["one"] < seconds["one"]
    assert RowStore(tmp_path).seconds()["two"] == seconds["two"]


def test_a_point_without_rows_is_measured(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    context.keep("trial", "a", [], COLUMNS)
    assert context.row_store.has("trial", "a")
    assert context.row_store.rows("trial") == []


def test_a_quick_study_is_guessed_to_take_less_than_half_an_hour_on_two_cores(tmp_path: Path) -> None:
    context = a_context(tmp_path, preset=presets.QUICK, others=("a", "b", "c", "d"))
    assert sum(stage.seconds(context.preset) * stage.guess(context) for stage in STAGES) < 1800


def test_the_guesses_are_the_numbers_of_points(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    context.folder.joinpath("profiles").mkdir()
    from dueby_study.measurements.profiles import keep_profiles

    keep_profiles(context.folder, [a_profile()])
    assert all(len(stage.points(context)) == stage.guess(context) for stage in STAGES)
    assert memory.points(context) == ["00001", "00016"]
    assert times.points(context) == ["00-00001", "00-00004", "00-00016"]
    assert together.points(context) == ["00-cpu-1", "00-cpu-2"]


CHANGES: list[tuple[Callable[[StudyContext], StudyContext], str]] = [
    (
        lambda context: replace(context, subject=SUBJECT.replace(name="resnet50")),
        "model (efficientnet_b0 there, resnet50 now)",
    ),
    (lambda context: replace(context, subject=SUBJECT.replace(image_size=320)), "image_size (224 there, 320 now)"),
    (lambda context: replace(context, preset=presets.FULL), "preset (tiny there, full now)"),
]


@pytest.mark.parametrize(("change", "sentence"), CHANGES, ids=["model", "image size", "preset"])
def test_another_study_in_the_folder_is_refused(
    change: Callable[[StudyContext], StudyContext], sentence: str, tmp_path: Path
) -> None:
    context = a_context(tmp_path)

    def start(context: StudyContext, processor: str = "a processor") -> bool:
        settings = settings_of(
            subject=context.subject, preset=context.preset, machine=context.machine, processor=processor
        )
        return begin(context.folder, settings)

    assert [start(context), start(context)] == [False, True]
    assert start(replace(context, models=("efficientnet_b0", "vit_b_16"))), "the table may grow"
    with pytest.raises(Invalid) as caught:
        start(change(context))
    assert caught.value.field == "--output"
    assert sentence in caught.value.message
    with pytest.raises(Invalid, match="processor"):
        start(context, "another processor")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_settings_file_is_named(text: str, tmp_path: Path) -> None:
    context = a_context(tmp_path)
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(Invalid, match=r"study\.json"):
        begin(
            tmp_path, settings_of(subject=context.subject, preset=context.preset, machine=context.machine, processor="")
        )


def test_the_processor_is_named(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: A CPU @ 2 GHz\n")
    assert read_processor(info) == "A CPU @ 2 GHz"
    assert read_processor(tmp_path / "none") == "unknown"
