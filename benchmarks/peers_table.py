"""The figures of peers.py, summarised over the rounds, and their tables in Markdown.

A ratio is that of two ways in the same round, and its median is over the rounds. Everything has its least and most
beside it, where there was more than one round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from document_tables import say
from dueby_api.words import counted
from peers_task import DECODE
from peers_ways import BY_NAME, Group, Run
from pipeline_table import QUIET_CORES, spread

TITLES = {DECODE: "Decoding and preparing alone", "efficientnet_lite0": "EfficientNet-Lite0", "resnet18": "ResNet-18"}
# Decoders and resizing differ by a little, most of all FFmpeg's, and some photos (Hubble's deep field) have no class
# that is far ahead of the next. Of other work, labels and scores would differ by much more.
SAME_TOP1 = 0.8
SAME_SCORE = 0.04
SAME_MEAN = 1.0
# Of its tables in a document.
NAME = "peers"
# Before the engine, in the names of DueBy's ways.
_DUEBY = "dueby-"
Rounds = Mapping[str, Sequence[Run | None]]


def summarise(group: Group, rounds: Rounds, *, reference: str, mean: float, std: float) -> dict[str, Any]:
    """The figures of a group; None in the rounds stands for a round that a way had no part in.

    `mean` and `std` are the first channel's, to compare documented ways' normalised squares with others' bytes.
    """
    known = {name: found for name, runs in rounds.items() if (found := [run for run in runs if run is not None])}
    first = next(iter(known.values()))[0].rows
    return {
        "model": group.model,
        "cores": group.cores,
        "photos": group.photos,
        "reference": reference,
        "ways": [
            {
                "name": name,
                "title": BY_NAME[name].title,
                "wallSeconds": spread([run.cost.wall_s for run in runs]),
                "imagesPerSecond": spread([group.photos / run.cost.wall_s for run in runs]),
                "steadyImagesPerSecond": spread(steady)
                if (steady := [run.steady for run in runs if run.steady is not None])
                else None,
                "firstRowSeconds": spread([run.first_row_s for run in runs]),
                "cpuSeconds": spread([run.cost.cpu_s for run in runs]),
                "peakMiB": spread([run.cost.peak_mib for run in runs]),
                "wallOverDueby": ratio(rounds[name], rounds.get(reference, ())),
                "foreignCores": max(run.cost.foreign_cores for run in runs),
                **agreement(runs[0].rows, first, is_decoding=group.model == DECODE, mean=mean, std=std),
                "runs": [asdict(run.cost) | {"outputs": None, "firstRow": run.first_row_s} for run in runs],
            }
            for name, runs in known.items()
        ],
    }


def ratio(runs: Sequence[Run | None], others: Sequence[Run | None]) -> dict[str, float] | None:
    """Wall times over the other way's, round by round."""
    both = [run.cost.wall_s / other.cost.wall_s for run, other in zip(runs, others) if run and other]
    return spread(both) if both else None


def agreement(
    rows: Mapping[str, tuple[int, float]],
    others: Mapping[str, tuple[int, float]],
    *,
    is_decoding: bool,
    mean: float,
    std: float,
) -> dict[str, Any]:
    """How many rows there are, the share of photos with the same label, and how far scores are apart."""

    def comparable(score: float) -> float:
        # Normalised means lie within -3 to 3, bytes' means within 0 to 255 and, for photos, above 3.
        return 255 * (score * std + mean) if is_decoding and abs(score) < 3 else score

    both = rows.keys() & others.keys()
    return {
        "rows": len(rows),
        "sameTop1": sum(rows[name][0] == others[name][0] for name in both) / max(1, len(others)),
        "scoreDifference": median(
            [abs(comparable(rows[name][1]) - comparable(others[name][1])) for name in both] or [float("inf")]
        ),
    }


def faults(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each way whose rows are not those of the others."""
    return [
        f"{way['title']}, {TITLES[group['model']]}, {group['cores']} cores: {way['rows']} rows for {group['photos']} "
        f"photos, {way['sameTop1']:.1%} with the same label, scores {way['scoreDifference']:.3f} apart"
        for group in result["groups"]
        for way in group["ways"]
        if way["rows"] != group["photos"]
        or way["sameTop1"] < SAME_TOP1
        or way["scoreDifference"] > (SAME_MEAN if group["model"] == DECODE else SAME_SCORE)
    ]


def markdown(result: Mapping[str, Any]) -> str:
    """A table for each task, as docs/benchmarks.md has them, and what auto took."""
    lines: list[str] = []
    for model in dict.fromkeys(group["model"] for group in result["groups"]):
        groups = sorted((g for g in result["groups"] if g["model"] == model), key=lambda group: -group["cores"])
        lines += [*_table(model, groups), ""]
    for model, choice in result["auto"].items():
        lines.append(f"`auto` took {choice} for {TITLES[model]}. {_verdict(result, model, choice)}".rstrip())
    busy = max(way["foreignCores"] for group in result["groups"] for way in group["ways"])
    if busy > QUIET_CORES:
        lines.append(f"Others kept up to {busy:.2f} cores busy meanwhile: take the ratios, not the figures.")
    return "\n".join(lines)


def _table(model: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    most = groups[0]
    heads = [f"{TITLES[model]}, {most['photos']:,} photos"]
    for group in groups:
        cores = counted(group["cores"], "core")
        heads += [f"images/s, {cores}", f"DueBy is faster, {cores}"]
    heads += ["images/s once it runs", "first rows after", "CPU ms an image", "peak MiB", "same label"]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for name in dict.fromkeys(way["name"] for group in groups for way in group["ways"]):
        ways = [next((way for way in group["ways"] if way["name"] == name), None) for group in groups]
        cells = [BY_NAME[name].title]
        for group, way in zip(groups, ways):
            is_reference = name == group["reference"]
            cells += [
                say(way and way["imagesPerSecond"], ".1f"),
                "1" if is_reference else say(way and way["wallOverDueby"], ".2f"),
            ]
        cells += _last_cells(ways[0], most["photos"], is_decoding=model == DECODE)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _last_cells(way: Mapping[str, Any] | None, photos: int, *, is_decoding: bool) -> list[str]:
    """What is said of the most cores only."""
    if way is None:
        return ["", "", "", "", ""]
    return [
        say(way["steadyImagesPerSecond"], ".1f"),
        f"{way['firstRowSeconds']['median']:.1f} s",
        f"{1000 * way['cpuSeconds']['median'] / photos:.1f}",
        f"{way['peakMiB']['median']:,.0f}",
        "" if is_decoding else f"{way['sameTop1']:.1%}",
    ]


def _verdict(result: Mapping[str, Any], model: str, choice: str) -> str:
    """Whether auto was right: the other engines' times over its choice's, by number of cores."""
    said = []
    for group in (group for group in result["groups"] if group["model"] == model):
        others = [
            f"{way['name'].removeprefix(_DUEBY)} {say(found, '.2f')}"
            for way in group["ways"]
            if way["name"].startswith(_DUEBY) and way["name"] != group["reference"] and (found := way["wallOverDueby"])
        ]
        if others:
            said.append(f"{' and '.join(others)} times as long on {counted(group['cores'], 'core')}")
    return f"Other engines took: {'; '.join(said)}." if said else ""
