"""The warm-up model, on rows whose truth is known: what decides W, how far predictions are off, and what is refused."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dueby_api.errors import Invalid
from dueby_profiler.machine.machine import this_machine
from dueby_profiler.monitor.tables import write_warmups as write_monitored
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.warmup.__main__ import main
from dueby_study.warmup.charts import draw_importances, save
from dueby_study.warmup.collecting.collect import collect_warmups
from dueby_study.warmup.collecting.points import every_point
from dueby_study.warmup.collecting.rows import WarmupJournal, read_warmups, resume_journal, write_warmups
from dueby_study.warmup.learning.learn import LearnedWarmups, learn_warmups, upper_factor
from dueby_study.warmup.learning.regressors import correlated_groups, expand, grouped_folds, spearman
from dueby_study.warmup.learning.sample import Columns, sample_of
from support.warmups import a_row, a_table, some_rows


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of `learn` over the made-up rows, which takes seconds."""

    out: str
    figures: Path
    learned: LearnedWarmups


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("learn")
    rows = write_warmups(folder / "rows.parquet", a_table())
    kept: list[LearnedWarmups] = []

    def learn(table: Any) -> LearnedWarmups:
        kept.append(learn_warmups(table))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patched, redirect_stdout(StringIO()) as out:
        patched.setattr("dueby_study.warmup.learning.learn.learn_warmups", learn)
        assert main(["learn", str(rows), "-o", str(folder / "figures")]) == 0
    (learned,) = kept
    return Run(out=out.getvalue(), figures=folder / "figures", learned=learned)


@pytest.fixture(scope="module")
def learned(run: Run) -> LearnedWarmups:
    return run.learned


def test_the_features_that_decide_are_found_in_their_order(learned: LearnedWarmups) -> None:
    found = [importance.name for importance in learned.importances]
    assert set(found[:3]) == {"image_flops", "mini_batch_size", "engine"}
    busy = next(importance for importance in learned.importances if "cpu_busy_cores" in importance.members)
    assert 0 < busy.low <= busy.mean <= busy.high
    for name in ("memory_free_bytes", "cpu_load_1m_percent", "startup_us"):
        chance = next(importance for importance in learned.importances if name in importance.members)
        assert chance.low < 0.02, name
        assert chance.mean < busy.mean / 3, name


def test_correlated_features_are_shuffled_together(learned: LearnedWarmups) -> None:
    groups = {frozenset(importance.members) for importance in learned.importances}
    assert frozenset({"cpu_busy_cores", "process_cpu_cores"}) in groups
    assert any({"device_class", "threads", "slices"} <= group for group in groups)
    assert len(groups) <= 15


def test_four_parameters_that_a_plan_knows_are_found_and_nearly_enough(learned: LearnedWarmups) -> None:
    assert set(learned.four[:3]) == {"image_flops", "mini_batch_size", "engine"}
    assert learned.four[3] in ("device_class", "threads")
    assert list(learned.steps) == sorted(learned.steps, reverse=True)


@pytest.mark.parametrize("device_class", ["cpu-1", "cpu-2"])
def test_unseen_configurations_are_predicted_better_than_by_a_constant_or_a_line(
    learned: LearnedWarmups, device_class: str
) -> None:
    errors = learned.errors[device_class]
    assert errors.model < errors.four < 0.3
    assert errors.four < errors.line / 2
    assert errors.four < errors.constant / 2


def test_the_upper_quantile_holds_for_rows_that_were_never_seen(learned: LearnedWarmups) -> None:
    rows = some_rows(seed=1)
    predictions = learned.predict(rows)
    assert all(found.p50 <= found.p95 for found in predictions)
    within = [row["warmup_us"] <= found.p95 for row, found in zip(rows, predictions)]
    assert np.mean(within) > 0.9
    assert np.median([found.p95 / found.p50 for found in predictions]) < 2


def test_a_class_that_was_never_measured_is_not_predicted(learned: LearnedWarmups) -> None:
    with pytest.raises(Invalid, match="none was measured on a device of the class cpu-64, only on cpu-1, cpu-2"):
        learned.predict([a_row(np.random.default_rng(0), device_class="cpu-64")])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        pytest.param(some_rows()[:30], "30 first mini-batches of 15 configurations are too few", id="few rows"),
        pytest.param(some_rows()[:5] * 20, "100 first mini-batches of 3 configurations are too few", id="few kinds"),
        pytest.param([], "0 first mini-batches of 0 configurations are too few", id="none"),
    ],
)
def test_too_few_rows_are_refused_with_how_many_are_needed(rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(Invalid, match=f"{sentence} to learn from; measure at least 40 of 20 configurations"):
        learn_warmups(a_table(rows))


def test_only_what_was_known_before_is_used_and_nothing_that_names_a_row() -> None:
    names = set(sample_of(a_table()).columns.names)
    assert not names & {"warmup_us", "at_us", "node", "slice", "round", "model", "gpu"}
    assert not names & {"cpu_interrupts"}  # since the monitor began: a clock
    assert {"startup_us", "cpu_busy_cores", "mini_batch_size", "engine"} <= names


def test_columns_that_are_the_same_everywhere_or_null_are_left_out() -> None:
    names = set(sample_of(a_table()).columns.names)
    assert "precision" not in names  # always fp32
    assert not any(name.startswith(("gpu_", "torch_")) for name in names)


def test_rows_of_before_a_column_was_there_are_read(tmp_path: Path) -> None:
    table = a_table().drop_columns(["model_bytes"])
    assert "model_bytes" not in sample_of(table).columns.names


def test_no_configuration_is_on_both_sides_of_a_split() -> None:
    configurations = sample_of(a_table()).configurations
    for seen, unseen in grouped_folds(configurations, folds=5, seed=3):
        assert not set(configurations[seen].tolist()) & set(configurations[unseen].tolist())
        assert len(seen) + len(unseen) == len(configurations)


def test_columns_that_rise_or_fall_together_are_grouped_even_with_gaps() -> None:
    random = np.random.default_rng(0)
    base, other = random.uniform(1, 2, 200), random.uniform(1, 2, 200)
    falling = np.where(random.uniform(size=200) < 0.05, np.nan, 1 / base)
    groups = correlated_groups(np.column_stack([base, other, falling, base**3]))
    assert sorted(map(sorted, groups)) == [[0, 2, 3], [1]]
    assert spearman(np.column_stack([base, base**3]))[0, 1] == pytest.approx(1)


def test_a_category_that_was_never_seen_is_none_of_the_known() -> None:
    columns = Columns(names=("engine", "mini_batch_size"), levels={"engine": ("eager", "openvino")})
    values = columns.matrix([{"engine": "openvino", "mini_batch_size": 3}, {"engine": "cuda", "mini_batch_size": 3}])
    assert expand(values, columns=columns).tolist() == [[0.0, 1.0, np.log1p(3)], [0.0, 0.0, np.log1p(3)]]


@pytest.mark.parametrize(
    ("over", "factor"),
    [
        pytest.param([0.0] * 95 + [1.0] * 5, np.e, id="one more row counts against it"),
        pytest.param([0.0] * 96 + [1.0] * 3, 1.0, id="rarer than 5 %"),
        pytest.param([-1.0] * 50, 1.0, id="never below the prediction"),
        pytest.param([0.0, 2.0], np.e**2, id="few rows: the largest"),
    ],
)
def test_the_upper_factor_is_that_of_the_unseen_rows(over: list[float], factor: float) -> None:
    assert upper_factor(np.array(over), np.zeros(len(over))) == pytest.approx(factor)


POINTS = every_point(
    device_classes=["cpu-1"],
    engines=["eager", "openvino"],
    models=["resnet50"],
    image_sizes=[64, 128],
    mini_batch_sizes=[1, 2, 4],
    rounds=2,
)


def test_points_are_always_shuffled_in_the_same_way_and_a_round_has_all_of_them() -> None:
    assert len({point.key for point in POINTS}) == len(POINTS) == 24
    assert [point.round for point in POINTS] == [0] * 12 + [1] * 12
    sizes = [point.mini_batch_size for point in POINTS[:12]]
    assert sizes != sorted(sizes)
    again = every_point(
        device_classes=["cpu-1"],
        engines=["eager", "openvino"],
        models=["resnet50"],
        image_sizes=[64, 128],
        mini_batch_sizes=[1, 2, 4],
        rounds=2,
    )
    assert again == POINTS


def rows_of(number: int) -> list[dict[str, Any]]:
    point = POINTS[number]
    row = a_row(np.random.default_rng(number), engine=point.engine, image_size=point.model.image_size)
    return [
        row | {"mini_batch_size": point.mini_batch_size, "round": point.round, "model": "resnet50", "slice": place}
        for place in range(2)
    ]


def test_points_in_the_journal_are_not_measured_again(tmp_path: Path) -> None:
    journal = WarmupJournal(tmp_path / "rows.jsonl")
    for number in range(4):
        journal.append(rows_of(number))
    messages: list[str] = []
    table = collect_warmups(
        POINTS[:4],
        machine=this_machine(),
        journal=tmp_path / "rows.jsonl",
        listener=ProgressListener(on_message=messages.append),
    )
    assert len(table) == 8
    assert messages == [f"4 of 4 points are in {tmp_path / 'rows.jsonl'} already."]


def test_a_class_that_the_machine_lacks_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    strange = [replace(POINTS[0], device_class="NVIDIA-H100")]
    with pytest.raises(Invalid, match="this machine has no devices of the class NVIDIA-H100; it has"):
        collect_warmups(strange, machine=this_machine(), journal=tmp_path / "rows.jsonl")


def test_half_a_line_at_the_journals_end_counts_as_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    WarmupJournal(path).append(rows_of(0))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(WarmupJournal(path).read()) == 2
    WarmupJournal(path).append(rows_of(1))
    assert [row["slice"] for row in WarmupJournal(path).read()] == [0, 1, 0, 1]


def test_a_journal_begins_with_the_rows_of_a_file_that_is_alone(tmp_path: Path) -> None:
    rows = some_rows()
    file = write_warmups(tmp_path / "rows.parquet", a_table(rows))
    journal = resume_journal(file)
    assert a_table(WarmupJournal(journal).read()) == read_warmups(file)
    WarmupJournal(journal).append(rows[:1])
    assert len(WarmupJournal(resume_journal(file)).read()) == len(rows) + 1, "one that is there stays"


def test_a_file_of_something_else_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"index": [1, 2]}), file)
    before = file.read_bytes()
    assert main(["measure", "--seconds", "1", "-o", str(file)]) == 2
    assert "holds no warm-ups: it has no column" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert not file.with_suffix(".jsonl").exists()


def a_journal(path: Path, rows: list[dict[str, Any]]) -> Path:
    WarmupJournal(path).append(rows)
    return path


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda folder, rows: write_warmups(folder / "rows.parquet", a_table(rows)), id="a file"),
        pytest.param(
            lambda folder, rows: write_monitored(folder / "warmups" / "a.parquet", rows).parent, id="the monitor's"
        ),
        pytest.param(lambda folder, rows: a_journal(folder / "rows.jsonl", rows), id="a journal"),
    ],
)
def test_rows_are_read_from_wherever_they_were_written(
    tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    rows = some_rows(models=("middle",))
    table = read_warmups(write(tmp_path, rows))
    assert table.column("warmup_us").to_pylist() == [row["warmup_us"] for row in rows]
    assert table.column("gpu_power_w").null_count == len(rows)


def test_a_file_that_has_no_rows_of_warmups_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no Parquet")
    for path in (tmp_path / "x.parquet", tmp_path / "missing.parquet"):
        with pytest.raises(Invalid, match="can't be read as rows of warm-ups"):
            read_warmups(path)


def test_the_command_learns_draws_and_prints_what_it_found(run: Run) -> None:
    assert "median relative error at unseen configurations" in run.out
    assert {path.name for path in run.figures.iterdir()} == {
        "warmup.json",
        "warmup-importances.png",
        "warmup-errors.png",
    }
    found = json.loads((run.figures / "warmup.json").read_text())
    assert found["rows"] == len(some_rows())
    assert found["errors"]["cpu-1"]["four"] < found["errors"]["cpu-1"]["line"]
    assert len(found["four"]) == 4


def test_a_mean_outside_of_its_interval_is_drawn_with_it(learned: LearnedWarmups, tmp_path: Path) -> None:
    # One of twenty splits may be so far out.
    first = replace(learned.importances[0], mean=2.0, low=0.1, high=0.2)
    skewed = replace(learned, importances=(first, *learned.importances[1:]))
    assert save(draw_importances, skewed, tmp_path / "figure.png").stat().st_size


def test_the_command_refuses_too_few_rows_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_warmups(tmp_path / "rows.parquet", a_table(some_rows()[:10]))
    assert main(["learn", str(rows), "-o", str(tmp_path)]) == 2
    assert "are too few to learn from" in capsys.readouterr().err
