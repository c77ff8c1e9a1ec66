"""The chapters of a study's page on memory and on times: what the study measured itself.

Whether something holds is decided by the numbers of this run. A chapter whose stage wasn't measured says how to.
"""

from collections.abc import Iterator

from dueby.report.wording import counted, fine, number, percent
from dueby_study.measurements.features import Features
from dueby_study.measurements.times import Times
from dueby_study.pages.document import Chapter, Table
from dueby_study.pages.words import Pictures, chosen, missing
from dueby_study.summary import InferenceTimes, Latency, Memory, Summary

# Two growths that differ by less are told as the same.
_ALIKE = 0.3
# An error must be larger by this factor to be told as larger.
_BETTER = 1.2
# Points that are no further from a line than this are told to lie on it.
_LINEAR = 0.1


def memory_chapter(summary: Summary, pictures: Pictures) -> Chapter:
    title = "Memory over image size and mini-batch size"
    intro = (
        "The study draws memory over image sizes and mini-batch sizes, and takes MB, the largest mini-batch that fits, "
    )
    intro += "as a function of the image size."
    if summary.memory is None:
        return missing(title, intro, "memory")
    return Chapter(
        title=title,
        intro=intro,
        said=tuple(_memory_sentences(summary.memory)),
        pictures=tuple(chosen(pictures, memory="Peak memory over image size and mini-batch size")),
        differs=(
            "the study reads the GPU's memory in one process. Here each pair is a fresh process, since an allocator "
            "keeps what a larger size before it has taken; and the peak is the whole process's, libraries included."
        ),
    )


def _memory_sentences(found: Memory) -> Iterator[str]:
    slopes = [slope for slope in found.slopes if slope.image_mib > 0]
    if not slopes:
        return
    each = "; ".join(f"{slope.image_mib:.2g} MiB at {slope.image_size} px" for slope in slopes)
    yield f"With {found.engine} on {found.device_class}, each further image of a mini-batch takes {each}."
    small, large = slopes[0], slopes[-1]
    if small is not large:
        pixels = (large.image_size / small.image_size) ** 2
        memory = large.image_mib / small.image_mib
        alike = ": MB falls about as an image's area grows" if abs(memory / pixels - 1) < _ALIKE else ""
        yield (
            f"From {small.image_size} to {large.image_size} px an image has {pixels:.1f} times the pixels and takes "
            f"{memory:.1f} times the memory{alike}."
        )
    if away := [slope.furthest for slope in found.slopes if slope.furthest is not None]:
        furthest = max(away)
        yield (
            f"At one image size, memory is linear in the mini-batch size: no measured pair is further than "
            f"{percent(furthest)} from its line, so a few sizes tell where memory ends."
            if furthest < _LINEAR
            else f"The lines through the measured pairs are off by up to {percent(furthest)}."
        )
    if too_large := [cell for cell in found.cells if cell.memory_mib is None]:
        yield f"{counted(len(too_large), 'pair')} did not fit."


def times_chapter(summary: Summary, pictures: Pictures) -> Chapter:
    title = "Inference time with and without warm-up"
    intro = (
        "The study repeats each measurement and draws the times twice: without considering the warm-up, and with it."
    )
    found = summary.times
    if found is None:
        return missing(title, intro, "times")
    return Chapter(
        title=title,
        intro=intro,
        said=tuple(_times_sentences(found)),
        pictures=tuple(chosen(pictures, times="Time of a mini-batch over its size, without and with warm-up")),
        table=_times_table(found),
        differs=(
            "a mean in which the warm-up is one of the repetitions depends on how many there were. DueBy plans with "
            "the mean of steady steps as L and counts W once, at the start, where it is spent."
        ),
    )


def _times_sentences(found: InferenceTimes) -> Iterator[str]:
    first, last = found.sizes[0], found.sizes[-1]
    yield (
        f"The first mini-batch of a process takes {first.warmup_us / first.mean_us:.1f} times a steady one at "
        f"{_batches(first)} and {last.warmup_us / last.mean_us:.1f} times at {_batches(last)}."
    )
    worst = max(found.sizes, key=lambda seen: seen.too_long)
    least = min(found.sizes, key=lambda seen: seen.too_long)
    yield (
        f"So a mean of {found.repetitions} mini-batches with the first among them is {percent(worst.too_long)} above "
        f"the steady one at {_batches(worst)}, and {percent(least.too_long)} at {_batches(least)}."
    )
    best = max(found.sizes, key=lambda seen: seen.images_per_second)
    share = last.images_per_second / best.images_per_second
    yield (
        f"Most images a second come from {_batches(best)}: {number(best.images_per_second)} a device"
        + (f"; the largest size measured reaches {percent(share)} of that." if best is not last else ".")
    )


def _batches(seen: Times) -> str:
    return f"mini-batches of {seen.mini_batch_size}"


def _times_table(found: InferenceTimes) -> Table:
    return Table(
        head=("mini-batch", "L, mean", "p5", "p95", "W", f"mean of {found.repetitions}", "too long by", "images/s"),
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
            for seen in found.sizes
        ),
        words=0,
    )


def features_chapter(summary: Summary, pictures: Pictures) -> Chapter:
    title = "What tells the time of the first mini-batch"
    intro = (
        "The study watches 164 features of the hardware and ranks the 15 that tell most of the first inference's time."
    )
    found = summary.features
    if found is None:
        return missing(title, intro, "features")
    return Chapter(
        title=title,
        intro=intro,
        said=tuple(_features_sentences(found)),
        pictures=tuple(
            chosen(
                pictures,
                importances="The features that tell most of the first mini-batch's time",
                warmups="Predicted over measured, and the errors of several ways to predict",
            )
        ),
        differs=(
            "an importance is how much worse predictions of unseen configurations get where a feature is shuffled, "
            "with its spread over splits. And the study varies image and mini-batch size of one model on one GPU; here "
            "the model varies, too, so its own numbers are among the features."
        ),
    )


def _features_sentences(found: Features) -> Iterator[str]:
    yield (
        f"From {number(found.rows)} first mini-batches of {number(found.configurations)} configurations, of which "
        f"{number(found.known)} features say anything on this machine."
    )
    first = [feature.name for feature in found.most[:3]]
    yield f"{', '.join(first[:-1])} and {first[-1]} tell most." if len(first) > 1 else f"{first[0]} tells most."
    doubtful = [feature for feature in found.most if feature.low <= 0]
    if doubtful:
        yield f"{len(doubtful)} of the {len(found.most)} might as well tell nothing: 0 is in their interval."
    errors = found.errors
    yield (
        f"At configurations that were not seen, W is predicted within {percent(errors['model'])} in the median with "
        f"all features and within {percent(errors['four'])} with four that a plan knows ({', '.join(found.four)}); a "
        f"line in the mini-batch size for each model is off by {percent(errors['family_line'])}, one for all by "
        f"{percent(errors['line'])}."
    )


def latency_chapter(summary: Summary, pictures: Pictures) -> Chapter:
    title = "L as a function of the mini-batch size"
    intro = "The study's models need L(mbs) at every size. It proposes functions, to be found from the measurements."
    if summary.times is None or summary.times.latency is None:
        return missing(title, intro, "times")
    return Chapter(
        title=title,
        intro=intro,
        said=tuple(_latency_sentences(summary.times.latency)),
        pictures=tuple(chosen(pictures, latency="What an image takes, and how far three curves are off")),
        differs=(
            "DueBy plans with measured sizes only, and where a job asks for those between them, with the kind of curve "
            "that is the nearest on this very device, its error in the margin."
        ),
    )


def _latency_sentences(found: Latency) -> Iterator[str]:
    errors = ", ".join(f"{kind} {percent(error)}" for kind, error in found.errors.items())
    yield f"Each inner size left out in turn, the curves through the others miss it by: {errors}."
    affine, best, spread = found.errors["affine"], found.errors[found.best], found.spread
    if found.best == "affine" or affine < _BETTER * best:
        yield "On this device an affine L does about as well as any; on another it need not."
    elif spread is not None and affine < _BETTER * spread:
        yield (
            f"Processes of one size differ by {percent(spread)} here, so from this run nobody can tell whether L is "
            "affine."
        )
    else:
        yield f"L is not affine here: the {found.best} is off by {percent(best)}, a + s b by {percent(affine)}."
    each = [mean / size for size, mean in zip(found.sizes, found.mean_us, strict=True)]
    yield f"An image takes from {fine(min(each) / 1e6)} to {fine(max(each) / 1e6)}, depending on the mini-batch size."
