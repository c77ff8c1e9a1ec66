"""docs/monitor.md, made of the table of features: `python -m dueby_profiler.monitor.handbook > docs/monitor.md`."""

from collections.abc import Iterator, Sequence

from dueby_profiler.monitor.board import Phase
from dueby_profiler.monitor.columns import FEATURES, MOMENT, WARMUP, Key
from dueby_profiler.monitor.features import Feature, Group, Kind, Source
from dueby_profiler.monitor.schedule import MIN_S, SHARE_OF_A_CORE

_PHASES = {
    Phase.STARTING: "imports, and the model with its weights",
    Phase.BUILDING: "the engine of a size is made",
    Phase.READY: "it is built, and nothing has run: what is known before the first mini-batch",
    Phase.WARMUP: "the first mini-batch at a size",
    Phase.CHECKING: "its result is compared with plain fp32, in the process's first mini-batch",
    Phase.STEADY: "mini-batches one after the other",
    Phase.WAITING: "for what the profiler wants next",
    Phase.CONTENDING: "decoding, the model, and both at once",
}


def handbook() -> str:
    """The document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    studied = [feature for feature in FEATURES if feature.study]
    counts = {source: sum(feature.source is source for feature in FEATURES) for source in Source}
    yield from _INTRODUCTION.format(
        features=len(FEATURES),
        studied=len(studied),
        ours=len(FEATURES) - len(studied),
        psutil=counts[Source.PSUTIL],
        nvml=counts[Source.NVML],
        torch=counts[Source.TORCH],
        shortest=MIN_S,
        share=SHARE_OF_A_CORE,
    ).splitlines()
    yield from ("", "## Of each sample", "", *_key_table(MOMENT))
    yield from ("", "Phases:", "", "| phase | what the process does |", "| --- | --- |")
    yield from (f"| `{phase.name.lower()}` | {doc} |" for phase, doc in _PHASES.items())
    yield from ("", "## Of each warm-up", "", _WARMUPS, "", *_key_table(WARMUP))
    for group in Group:
        yield from ("", f"## {group.value}", "", *_feature_table([f for f in FEATURES if f.group is group]))


def _key_table(keys: Sequence[Key]) -> Iterator[str]:
    yield from ("| column | type | what it is |", "| --- | --- | --- |")
    yield from (f"| `{key.name}` | {key.type} | {key.doc} |" for key in keys)


def _feature_table(features: Sequence[Feature]) -> Iterator[str]:
    yield from ("| column | unit | kind | what it is | read from | in the study's monitor |", "| --- " * 6 + "|")
    for feature in features:
        call = feature.call if feature.kind is Kind.RATE else f"`{feature.call}`"
        study = f"`{feature.study}`" if feature.study else ""
        yield f"| `{feature.name}` | {feature.unit} | {feature.kind.value} | {feature.doc} | {call} | {study} |"


_INTRODUCTION = """\
# The hardware monitor

    dueby profile --monitor --model efficientnet_lite0 -o profiles

`--monitor` watches the machine, the measuring processes and their GPUs while a profile is measured, and writes Parquet
beside the profile. Without it nothing of this runs. This page is made by `python -m dueby_profiler.monitor.handbook`.

| file | a row is |
| --- | --- |
| `profiles/monitor/samples/NAME.parquet` | one look at one measuring process, and at the machine |
| `profiles/monitor/warmups/NAME.parquet` | one fresh process: the look right before its first mini-batch, and its W |

NAME is the device class, the model, its image size and precision, and the node. Each folder is one table:
`pandas.read_parquet("profiles/monitor/warmups")`. Every column's unit, kind and source are in the files' metadata.

There are {features} features: {psutil} by psutil, {nvml} by NVML, {torch} of torch's allocator. All are 64-bit floats
in base units, and null where the value can't be had: a GPU's on a slice of a CPU, the allocator's where torch computes
on no GPU, and what a GPU says that it has none of. A GPU that is lost leaves nulls, and a sentence at the end; the
profile goes on.

**The study's features.** {studied} are what the study's monitor,
[cirquit/py-hardware-monitor](https://github.com/cirquit/py-hardware-monitor), hands over with one GPU and the torch of
its time, by their names there in the last column; {ours} are ours. The study counts 164 and doesn't say which: the
published monitor has three more. Units differ (bytes here, MB, MiB or Mbit there). A row holds the GPU of its own
process, however many GPUs the machine has.

**When.** At multiples of one period, without drift; looks that are missed are left out. The period is the shortest of
{shortest:g} s, twice that, four times that ... at which the looks take {share:.1%} of a core, which is tried at the
start: a machine with many slices has many processes to look at. One more look is taken when a crew of processes starts,
and one right before its first mini-batch.

**By whom.** A thread of the profiler's own process, which otherwise waits. What that can't see (the phase, the steps
that are done, torch's allocator) a measuring process writes into a page of shared memory; the allocator's numbers
between two steps, at most every {shortest:g} s. What this costs is
[measured](benchmarks.md#the-monitors-cost).

**Memory.** 256 rows are kept, whatever the length of the run, and then written as a row group."""

_WARMUPS = """\
The features here are those of the phase `ready`. A warm-up model may use all columns but the last.\
"""


if __name__ == "__main__":
    print(handbook(), end="")
