"""The comparison with Ray Data and others: whose turn it is, what a rate is, and that nobody may skip work."""

from typing import Any

import pytest

from document_tables import marks, put_into
from metering import Cost
from peers import plan
from peers_table import NAME, faults, markdown, summarise
from peers_ways import WAYS, Group, Run, steady_rate

PHOTOS = 4
LITE0 = Group(model="efficientnet_lite0", cores=2, photos=PHOTOS)
DECODE = Group(model="decode", cores=2, photos=PHOTOS)


def a_run(*, wall_s: float = 10.0, rows: dict[str, tuple[int, float]] | None = None) -> Run:
    cost = Cost(wall_s=wall_s, stages_s=(wall_s,), cpu_s=2 * wall_s, peak_mib=100.0, foreign_cores=0.0, outputs=())
    found = {f"{n}.jpg": (n, 0.5) for n in range(PHOTOS)} if rows is None else rows
    return Run(cost=cost, first_row_s=1.0, steady=5.0, rows=found)


def summary(group: Group, **runs: Run) -> dict[str, Any]:
    rounds = {name.replace("_", "-"): [run] for name, run in runs.items()}
    reference = "dueby-decode" if group is DECODE else "dueby-eager"
    found = summarise(group, rounds, reference=reference, mean=0.5, std=0.25)
    return {"groups": [found], "auto": {}}


def test_a_documented_peer_has_its_turn_in_the_first_round_and_few_cores_have_none_in_the_last() -> None:
    few = Group(model="decode", cores=1, photos=PHOTOS)
    turns = list(plan(WAYS, [DECODE, few], rounds=3))
    times = {
        (t.group.cores, t.way.name): [u.round for u in turns if (u.group, u.way) == (t.group, t.way)] for t in turns
    }
    assert times[2, "ray"] == times[1, "ray"] == [0]
    assert times[2, "ray-tuned"] == [0, 1, 2]
    assert times[1, "ray-tuned"] == [0, 1]


def test_decoding_alone_compares_one_way_of_dueby_and_a_network_its_engines() -> None:
    assert {way.name for way in WAYS if DECODE.has(way) and "dueby" in way.name} == {"dueby-decode"}
    engines = {"dueby-eager", "dueby-openvino", "dueby-ncnn"}
    assert {way.name for way in WAYS if LITE0.has(way) and "dueby" in way.name} == engines


def test_a_steady_rate_is_the_sum_over_workers_after_each_ones_first_rows() -> None:
    def rows(worker: str, *times: float) -> list[dict[str, Any]]:
        return [{"worker": worker, "at": at} for at in times]

    assert steady_rate([*rows("a", 1, 1, 2, 2, 3, 3), *rows("b", 5, 7)]) == 4 / 2 + 1 / 2
    assert steady_rate([*rows("a", 1, 2), *rows("b", 5, 5)]) is None


def test_ways_with_the_same_rows_have_no_fault_and_are_told_apart_by_their_time() -> None:
    result = summary(LITE0, ray=a_run(wall_s=20.0), dueby_eager=a_run(wall_s=10.0))
    assert faults(result) == []
    ray = next(line for line in markdown(result).splitlines() if line.startswith("| Ray"))
    assert "| 0.2 | 2.00 |" in ray


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({f"{n}.jpg": (n, 0.5) for n in range(PHOTOS - 1)}, "3 rows for 4 photos"),
        ({f"{n}.jpg": (0, 0.5) for n in range(PHOTOS)}, "25.0% with the same label"),
        ({f"{n}.jpg": (n, 0.9) for n in range(PHOTOS)}, "scores 0.400 apart"),
    ],
    ids=["rows are missing", "other labels", "other scores"],
)
def test_a_way_that_skips_work_is_a_fault(rows: dict[str, tuple[int, float]], said: str) -> None:
    (sentence,) = faults(summary(LITE0, ray=a_run(), daft=a_run(rows=rows)))
    assert sentence.startswith("Daft, as documented, EfficientNet-Lite0, 2 cores: ")
    assert said in sentence


def test_normalised_squares_and_bytes_have_the_same_mean() -> None:
    # (127.5 / 255 - 0.5) / 0.25 is 0.
    normalised, as_bytes = ({f"{n}.jpg": (0, mean) for n in range(PHOTOS)} for mean in (0.0, 127.5))
    assert faults(summary(DECODE, ray=a_run(rows=normalised), dueby_decode=a_run(rows=as_bytes))) == []
    other = dict.fromkeys(as_bytes, (0, 100.0))
    assert faults(summary(DECODE, ray=a_run(rows=normalised), dueby_decode=a_run(rows=other)))


def test_tables_replace_those_between_the_marks() -> None:
    begin, end = marks(NAME)
    document = f"Before.\n{begin}\n\nold\n\n{end}\nAfter.\n"
    assert put_into(document, "new", name=NAME) == f"Before.\n{begin}\n\nnew\n\n{end}\nAfter.\n"
    with pytest.raises(SystemExit, match="has no lines"):
        put_into("Nothing here.", "new", name=NAME)
