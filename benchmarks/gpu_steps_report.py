"""The results of gpu_steps.py as tables: what docs/benchmarks.md has of them, and a report with what failed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAME = "gpu"
Document = Mapping[str, Any]
ENGINE_HEAD = (
    *("engine", "size", "build, s", "layout", "W, ms", "L of 5 steps, ms", "L hot, ms", "images/s hot"),
    *("CPU ms a step", "GPU MiB", "host MiB", "MHz", "W of power"),
)
PROFILE_HEAD = ("size", "profile's L, ms", "while all cores decode, ms", "L hot, ms", "profile over hot")
RUN_HEAD = (
    *("cores", "images/s", "once it runs", "size", "step, ms", "L by its profile, ms"),
    *("decoding, ms an image", "CPU ms an image", "busy cores"),
)
DECODER_HEAD = ("nvImageCodec with", "in full, images/s", "regions, images/s", "of the pixels", "differ by, of 255")
PEER_HEAD = ("beside it", "images/s", "once it runs", "CPU ms an image", "same best class")
# Of EfficientNet-B0 in mini-batches of 256. NVIDIA's DeepLearningExamples have the figure of an A100.
GOALS = (
    "Goals: above 10,239 images/s hot at fp16 on an A100, and above timm's compiled network on the same GPU; "
    "end to end at least 0.9 of the engine's with 16 cores; the profile's L within 5 % of the hot one."
)


def markdown(document: Document) -> str:
    """The tables of docs/benchmarks.md. Raise SystemExit if they would be a stand-in's."""
    if document["standIn"]:
        raise SystemExit("gpu: these are results of a stand-in, which belong into no document")
    return "\n\n".join(_tables(document))


def report(document: Document) -> str:
    """All tables, what failed and what was skipped."""
    title = "# A stand-in's results: they say nothing of a GPU" if document["standIn"] else "# On a GPU"
    return "\n\n".join([title, *_tables(document), GOALS, *_faults(document)]) + "\n"


def _tables(document: Document) -> Iterator[str]:
    results = {step["step"]: step["result"] for step in document["steps"] if step["state"] == "ok"}
    if "cuda" in results:
        yield _machine(results["cuda"])
    if rows := [row for result in results.values() if "points" in result for row in _engine_rows(result)]:
        yield _table(ENGINE_HEAD, rows)
    if "profile" in results:
        yield _table(PROFILE_HEAD, _profile_rows(results["profile"]))
    if rows := [_run_row(result) for name, result in results.items() if name.startswith("run-")]:
        yield _table(RUN_HEAD, rows)
    if "decoder" in results:
        yield _table(DECODER_HEAD, [_decoder_row(*found) for found in results["decoder"]["backends"].items()])
    if rows := [_peer_row(name, result) for name, result in results.items() if name.startswith(("loop-", "timm"))]:
        yield _table(PEER_HEAD, rows)


def _machine(facts: Mapping[str, Any]) -> str:
    gpus = ", ".join(f"{gpu['product']} ({gpu['memory_mib']} MiB)" for gpu in facts["gpus"])
    driver = facts["gpus"][0]["driver"] if facts["gpus"] else "none"
    torch = facts["torch"]
    return (
        f"{gpus or 'No GPU'}, driver {driver}, {facts['cores']:g} cores, PyTorch {facts['software'].get('torch')} for "
        f"CUDA {torch['cuda']}, cuDNN {facts['cudnn']}; EfficientNet-B0 at 224 pixels."
    )


def _engine_rows(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for point in result["points"]:
        gpu = point["gpu"]
        yield (
            f"{result['engine']}, {result['precision']}",
            str(point["miniBatchSize"]),
            f"{point['buildSeconds']:.1f}",
            _layout(point["layouts"]),
            _ms(point["warmupMicros"]),
            _ms(point["firstStepsMicros"]),
            _ms(point["hotMicros"]),
            f"{point['imagesPerSecond']:,.0f}",
            _ms(point["cpuMicrosAStep"]),
            _or_none(point["gpuMemoryMiB"], ",.0f"),
            f"{point['hostMemoryMiB']:,.0f}",
            _or_none(gpu.get("sm_clock_mhz"), ".0f"),
            _or_none(gpu.get("power_w"), ".0f"),
        )


def _layout(layouts: Mapping[str, Any] | None) -> str:
    """The chosen layout, with how many times as long a step takes in the other one."""
    if layouts is None:
        return ""
    chosen, steps = layouts["chosen"], layouts["stepMicros"]
    others = (f" ({name} {us / steps[chosen]:.2f})" for name, us in steps.items() if name != chosen)
    return "".join([chosen, *others])


def _profile_rows(result: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for size, latency_us in result["latencyMicros"].items():
        hot_us, ratio = result["hotMicros"].get(size), result["overHot"].get(size)
        yield size, _ms(latency_us), _ms(result["contention"] * latency_us), _ms(hot_us), _or_none(ratio, ".3f")


def _run_row(result: Mapping[str, Any]) -> Sequence[str]:
    return (
        f"{result['cores']}{', decoded on the GPU' if result['decoder'] == 'gpu' else ''}",
        f"{result['imagesPerSecond']:,.0f}",
        _or_none(result["steadyImagesPerSecond"], ",.0f"),
        str(result["miniBatchSize"]),
        _ms(result["stepMicros"]),
        _ms(result["latencyMicros"]),
        _ms(result["decodeMicros"]),
        _ms(result["cpuMicrosAnImage"]),
        f"{result['busyCores']:.1f}",
    )


def _decoder_row(name: str, found: Mapping[str, Any]) -> Sequence[str]:
    return (
        f"its {name}",
        _or_none(found["inFull"], ",.0f"),
        _or_none(found["regions"], ",.0f"),
        f"{found['regionsOfPixels']:.0%}",
        _or_none(found["largestDifference"], "d"),
    )


def _peer_row(name: str, result: Mapping[str, Any]) -> Sequence[str]:
    is_alone = "stepMicros" in result
    return (
        name,
        "" if is_alone else f"{result['imagesPerSecond']:,.0f}",
        f"{result['imagesPerSecond' if is_alone else 'steadyImagesPerSecond']:,.0f}",
        _ms(result.get("cpuMicrosAnImage")),
        _or_none(result.get("sameTop1"), ".1%"),
    )


def _faults(document: Document) -> Iterator[str]:
    for state, title in (("failed", "## Failed"), ("skipped", "## Skipped")):
        if rows := [f"- {step['step']}: {step['reason']}" for step in document["steps"] if step["state"] == state]:
            yield "\n".join([title, "", *rows])


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _ms(micros: float | None) -> str:
    return _or_none(None if micros is None else micros / 1000, ".2f")


def _or_none(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
