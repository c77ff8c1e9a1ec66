"""The chapters of a study's page on memory and on times, which the study measured itself.

The numbers of this run decide what each sentence claims. The chapter of a stage that was not measured says how to
measure it.
"""

from collections.abc import Iterator

from dueby_pages.wording import counted, fine, number, percent
from dueby_study.measurements.features import FeatureRanking
from dueby_study.measurements.times import SizeTimes
from dueby_study.pages.document import Chapter, Pictures, Table, chosen, missing
from dueby_study.summary import InferenceTimes, LatencyCurves, MemorySummary, StudySummary

# Two growth factors count as equal if they differ by less than this share.
_ALIKE = 0.3
# One curve counts as worse than another only if its error is larger by this factor.
_WORSE = 1.2
# Points count as lying on a line if they are no further from it than this share.
_LINEAR = 0.1


def memory_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on memory."""
    title = "Memory over image size and mini-batch size"
    intro = (
        "The study plots memory over image size and mini-batch size, and treats MB, the largest mini-batch that fits, "
        "as a function of the image size."
    )
    if summary.memory is None:
        return missing(title, intro, "memory")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_memory_sentences(summary.memory)),
        pictures=tuple(chosen(pictures, memory="Peak memory over image size and mini-batch size")),
        differs=(
            "the study reads the GPU's memory in one process. Here each pair is measured in a fresh process, because "
            "an allocator keeps the memory that an earlier, larger size has taken. The peak is that of the whole "
            "process, including libraries."
        ),
    )


def _memory_sentences(summary: MemorySummary) -> Iterator[str]:
    slopes = [slope for slope in summary.slopes if slope.image_mib > 0]
    if not slopes:
        return
    by_size = "; ".join(f"{slope.image_mib:.2g} MiB at {slope.image_size} px" for slope in slopes)
    yield f"With {summary.engine} on {summary.device_class}, each further image of a mini-batch takes {by_size}."
    small, large = slopes[0], slopes[-1]
    if small is not large:
        pixels = (large.image_size / small.image_size) ** 2
        memory = large.image_mib / small.image_mib
        alike = ", so MB is about inversely proportional to the area" if abs(memory / pixels - 1) < _ALIKE else ""
        yield (
            f"An image of {large.image_size} px takes {memory:.1f} times the memory of one of {small.image_size} px "
            f"and has {pixels:.1f} times the area{alike}."
        )
    if away := [slope.furthest for slope in summary.slopes if slope.furthest is not None]:
        furthest = max(away)
        yield (
            f"At one image size, memory is linear in the mini-batch size: every measured pair is within "
            f"{percent(furthest)} of its line, so a few sizes are enough to compute where memory ends."
            if furthest < _LINEAR
            else f"Measured pairs are up to {percent(furthest)} off the line through them."
        )
    if too_large := [cell for cell in summary.cells if cell.memory_mib is None]:
        yield f"{counted(len(too_large), 'pair')} did not fit into memory."


def times_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on inference times."""
    title = "Inference time with and without warm-up"
    intro = "The study repeats each measurement and plots the times twice: without the warm-up, and with it included."
    times = summary.times
    if times is None:
        return missing(title, intro, "times")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_times_sentences(times)),
        pictures=tuple(chosen(pictures, times="Time of a mini-batch over its size, without and with warm-up")),
        table=_times_table(times),
        differs=(
            "a mean that includes the warm-up depends on the number of repetitions. DueBy plans with the mean of "
            "steady steps as L, and counts W once, at the start, where it occurs."
        ),
    )


def _times_sentences(times: InferenceTimes) -> Iterator[str]:
    first, last = times.sizes[0], times.sizes[-1]
    yield (
        f"The first mini-batch of a process takes {first.warmup_us / first.mean_us:.1f} times as long as a steady one "
        f"at {_size(first)}, and {last.warmup_us / last.mean_us:.1f} times as long at {_size(last)}."
    )
    worst = max(times.sizes, key=lambda seen: seen.too_long)
    least = min(times.sizes, key=lambda seen: seen.too_long)
    yield (
        f"So the mean of {times.repetitions} mini-batches that include the first one exceeds the steady mean by "
        f"{percent(worst.too_long)} at {_size(worst)}, and by {percent(least.too_long)} at {_size(least)}."
    )
    best = max(times.sizes, key=lambda seen: seen.images_per_second)
    share = last.images_per_second / best.images_per_second
    yield (
        f"Throughput is highest at {_size(best)}: {number(best.images_per_second)} images/s per device"
        + (f"; the largest measured size reaches {percent(share)} of that." if best is not last else ".")
    )


def _size(seen: SizeTimes) -> str:
    return f"mini-batch size {seen.mini_batch_size}"


def _times_table(times: InferenceTimes) -> Table:
    return Table(
        head=("mini-batch", "L, mean", "p5", "p95", "W", f"mean of {times.repetitions}", "too long by", "images/s"),
        rows=tuple(
            (
                number(seen.mini_batch_size),
                fine(seen.mean_us / 1e6),
                fine(seen.p5_us / 1e6),
                fine(seen.p95_us / 1e6),
                fine(seen.warmup_us / 1e6),
                fine(seen.repeated_us / 1e6),
                percent(seen.too_long),
                number(seen.images_per_second),
            )
            for seen in times.sizes
        ),
        words=0,
    )


def features_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on the features that predict W."""
    title = "What predicts the time of the first mini-batch"
    intro = (
        "The study records 164 hardware features and ranks the 15 that say most about the time of the first inference."
    )
    features = summary.features
    if features is None:
        return missing(title, intro, "features")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_features_sentences(features)),
        pictures=tuple(
            chosen(
                pictures,
                importances="The features that predict the first mini-batch's time best",
                warmups="Predicted over measured times, and the errors of several ways to predict",
            )
        ),
        differs=(
            "an importance is how much worse predictions of unseen configurations become if a feature is shuffled, "
            "with its spread over splits. Also, the study varies image and mini-batch size of one model on one GPU. "
            "Here the model varies, too, so its own numbers are among the features."
        ),
    )


def _features_sentences(features: FeatureRanking) -> Iterator[str]:
    yield (
        f"This was learnt from {number(features.rows)} first mini-batches of {number(features.configurations)} "
        f"configurations; {number(features.known)} features carry information on this machine."
    )
    first = [feature.name for feature in features.most[:3]]
    best = f"{', '.join(first[:-1])} and {first[-1]}" if len(first) > 1 else first[0]
    yield f"The most informative {'are' if len(first) > 1 else 'is'} {best}."
    doubtful = [feature for feature in features.most if feature.low <= 0]
    if doubtful:
        yield f"{len(doubtful)} of the {len(features.most)} may carry no information: 0 is within their interval."
    errors = features.errors
    yield (
        f"At unseen configurations, the median error of the predicted W is {percent(errors['model'])} with all "
        f"features and {percent(errors['four'])} with four that a plan knows ({', '.join(features.four)}). A line over "
        f"the mini-batch size for each model is {percent(errors['family_line'])} off, one line for all models "
        f"{percent(errors['line'])}."
    )


def latency_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on L as a function."""
    title = "L as a function of the mini-batch size"
    intro = "The study's models need L(mbs) at every size. It proposes functions, to be fitted to measurements."
    if summary.times is None or summary.times.latency is None:
        return missing(title, intro, "times")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_latency_sentences(summary.times.latency)),
        pictures=tuple(chosen(pictures, latency="Time per image, and how far three curves are off")),
        differs=(
            "DueBy plans with measured sizes only. If a job asks for sizes between them, it takes the kind of curve "
            "that fits this very device best, and adds the curve's error to the margin."
        ),
    )


def _latency_sentences(curves: LatencyCurves) -> Iterator[str]:
    errors = ", ".join(f"{kind} {percent(error)}" for kind, error in curves.errors.items())
    yield f"With each inner size left out in turn, the curves through the other sizes miss it by: {errors}."
    affine, best, spread = curves.errors["affine"], curves.errors[curves.best], curves.spread
    if curves.best == "affine" or affine < _WORSE * best:
        yield "On this device an affine L fits about as well as any other curve; on another device it may not."
    elif spread is not None and affine < _WORSE * spread:
        yield (f"Processes differ by {percent(spread)} at one size here, so this run can't show whether L is affine.")
    else:
        yield f"L is not affine here: the {curves.best} is {percent(best)} off, a + s b is {percent(affine)} off."
    image_s = [mean / size / 1e6 for size, mean in zip(curves.sizes, curves.mean_us, strict=True)]
    yield f"An image takes from {fine(min(image_s))} to {fine(max(image_s))}, depending on the mini-batch size."
