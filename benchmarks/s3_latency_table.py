"""The figures of s3_latency.py, summarised over the rounds, and their tables in Markdown.

A ratio is that of the same way from two places in the same round. Its median is over the rounds, with the least and the
most beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

from document_tables import say
from metering import Cost
from pipeline_table import QUIET_CORES, spread

TITLES = {
    ("dueby", "single"): "DueBy",
    ("dueby", "tars"): "DueBy, tars",
    ("loader", "single"): "DataLoader, 2 processes, one object after the other",
    ("pool", "single"): "pool of 32 threads",
}
# Of its tables in a document.
NAME = "s3_latency"


class Measured(Protocol):
    """What a sample is of."""

    @property
    def way(self) -> str: ...
    @property
    def form(self) -> str: ...
    @property
    def has_network(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A way at one place in one round."""

    round: int
    way: str
    form: str
    has_network: bool
    place: str
    rate: float
    """Images a second."""
    in_flight: int | None
    """The most requests that waited for their answers at the same time; None of files."""
    foreign_cores: float

    @classmethod
    def of(cls, of: Measured, number: int, place: str, *, rate: float, in_flight: int | None, cost: Cost) -> Self:
        """A sample of a run's process."""
        return cls(
            round=number,
            way=of.way,
            form=of.form,
            has_network=of.has_network,
            place=place,
            rate=rate,
            in_flight=in_flight,
            foreign_cores=cost.foreign_cores,
        )


def summarise(samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures as they go into the file, with all samples."""
    ways = []
    for has_network in (True, False):
        for way, form in TITLES:
            of = [s for s in samples if (s.way, s.form, s.has_network) == (way, form, has_network)]
            rates: dict[str, dict[int, Sample]] = {}
            for sample in of:
                rates.setdefault(sample.place, {})[sample.round] = sample
            ways.append({"way": way, "form": form, "hasNetwork": has_network, "places": _places(rates)})
    return {"ways": ways, "samples": [asdict(sample) for sample in samples]}


def _places(rates: Mapping[str, Mapping[int, Sample]]) -> dict[str, Any]:
    def over(place: str, other: str) -> dict[str, float] | None:
        if other not in rates:
            return None
        return spread([sample.rate / rates[other][number].rate for number, sample in rates[place].items()])

    return {
        place: {
            "imagesPerSecond": spread([sample.rate for sample in found.values()]),
            "overLocal": over(place, "local"),
            "overNoDelay": over(place, "0"),
            "mostInFlight": max((sample.in_flight or 0 for sample in found.values()), default=0),
        }
        for place, found in rates.items()
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The tables, as docs/benchmarks.md has them."""
    lines: list[str] = []
    for has_network, title in ((True, "EfficientNet-Lite0"), (False, "Decoding alone")):
        ways = [way for way in result["ways"] if way["hasNetwork"] == has_network]
        lines += [*_table(title, ways, result["places"]), ""]
    busy = max(sample["foreign_cores"] for sample in result["samples"])
    # The server and its proxies are others to what is measured, on a core of their own.
    if busy > 1 + QUIET_CORES:
        lines.append(
            f"Others kept up to {busy:.1f} cores busy, the server among them: take the ratios, not the figures."
        )
    return "\n".join(lines).rstrip()


def _table(title: str, ways: Sequence[Mapping[str, Any]], places: Sequence[str]) -> list[str]:
    delays = [place for place in places if place != "local"]
    far = [place for place in delays if place != "0"]
    heads = [f"{title}, images/s", "files", *(f"S3, {delay} ms" for delay in delays)]
    heads += [f"{delay} ms over files" for delay in far]
    if "0" in delays:
        heads += [f"{delay} ms over 0 ms" for delay in far]
    heads.append("requests in flight")
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---'] * len(heads))} |"]
    for way in ways:
        found = way["places"]
        cells = [TITLES[way["way"], way["form"]]]
        cells += [f"{found[place]['imagesPerSecond']['median']:.1f}" for place in places]
        cells += [say(found[place]["overLocal"], ".2f") for place in far]
        if "0" in delays:
            cells += [say(found[place]["overNoDelay"], ".2f") for place in far]
        cells.append(str(max(found[place]["mostInFlight"] for place in delays)))
        lines.append(f"| {' | '.join(cells)} |")
    return lines
