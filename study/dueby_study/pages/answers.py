"""The chapters of a study's page on its two models, on models other than its own, and on concurrent processes."""

from collections.abc import Iterator

from dueby_pages.wording import NOTHING, counted, duration, fine, number, percent
from dueby_study.answers import Answers
from dueby_study.measurements.models import ModelRow
from dueby_study.measurements.together import Rate, words_of
from dueby_study.pages.document import Chapter, Pictures, Table, chosen, missing
from dueby_study.summary import StudySummary, Together


def answers_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on what the two models answer."""
    title = "What the two models answer"
    intro = (
        "The study states two optimization models and leaves both unsolved. Model (1): the fewest GPUs for N images "
        "by time T. Model (2): the most images by time T."
    )
    answers = summary.answers
    if answers is None:
        return missing(title, intro, "subject")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_answers_sentences(answers)),
        pictures=tuple(
            chosen(
                pictures,
                fewest="The fewest devices over images and time, at confidence 0.5 and 0.95",
                most="The most images over time, and the best mini-batch size",
            )
        ),
        differs=(
            "a start-up S is added to W, because a worker has to be started first. At confidence 0.95 there is a "
            "margin for the spread between runs and between devices, which the study does not have."
        ),
    )


def _answers_sentences(answers: Answers) -> Iterator[str]:
    curve = max(answers.curves, key=lambda curve: curve.devices)
    longest = curve.times_us[-1] / 1e6
    yield (
        f"{number(curve.devices)} × {answers.device_class} can classify at most {number(curve.images[-1])} images in "
        f"{duration(longest)}."
    )
    yield (
        f"{number(answers.checked)} of the {number(len(answers.exact.times_us) * len(answers.exact.images))} cells of "
        "the first map were also planned in full with PuLP's integer program, which gave the same number in "
        f"{number(answers.agreed)} of them."
    )
    pairs = [
        (exact, sure)
        for exact_row, sure_row in zip(answers.exact.fewest, answers.sure.fewest, strict=True)
        for exact, sure in zip(exact_row, sure_row, strict=True)
        if exact is not None and sure is not None
    ]
    if pairs:
        more = sum(sure for _, sure in pairs) / sum(exact for exact, _ in pairs) - 1
        yield (
            f"Confidence 0.95 takes {percent(more)} more devices than confidence 0.5, over all cells that are possible "
            "at both."
        )
    sizes = sorted({size for size in curve.mini_batch_sizes if size})
    if len(sizes) > 1:
        yield (f"The best mini-batch size depends on T: {', '.join(map(str, sizes))} were each the best at some T.")
    elif sizes:
        yield f"Mini-batch size {sizes[0]} is the best at every T of the figure."


def printed_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on the models as they are printed."""
    title = "The models as they are printed"
    intro = "Taken literally, two terms of the formulas count work that nobody does."
    answers = summary.answers
    if answers is None:
        return missing(title, intro, "subject")
    printed = answers.printed
    pairs = [
        (meant, literal)
        for meant, literal in zip(printed.fewest, printed.fewest_printed, strict=True)
        if meant is not None and literal is not None
    ]
    least = max(pairs, key=lambda pair: pair[0] - pair[1], default=None)
    findings = [
        "In (1) the sum of (t + 1) mbs runs over all GPUs, so every unused GPU adds a mini-batch that nobody "
        "processes, and N_G becomes too small."
    ]
    if least and least[0] > least[1]:
        more = counted(least[1], "device")
        findings.append(f"At T = {duration(printed.time_us / 1e6)} it asks for {more} where {least[0]} are needed.")
    findings.append(
        f"In (2) the sum over all GPUs is multiplied by NGPU again: {number(printed.most_printed)} images instead of "
        f"{number(printed.most)} on {answers.devices} devices."
    )
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(findings),
        pictures=tuple(chosen(pictures, printed="Both models as meant and as printed")),
        differs="in (1) DueBy sums over the devices of the plan only, and in (2) it does not multiply again.",
    )


def models_chapter(summary: StudySummary) -> Chapter:
    """Return the chapter on other models."""
    title = "L, W and MB of other models"
    intro = (
        "The study covers one model, EfficientNet-B0. These are the constants of its formulas for other models, "
        "measured by the same profiler."
    )
    if not summary.models:
        return missing(title, intro, "models")
    ranked = sorted(summary.models, key=lambda line: line.images_per_second)
    fastest, slowest = ranked[-1], ranked[0]
    return Chapter(
        title=title,
        intro=intro,
        table=_models_table(summary.models),
        findings=(
            f"The fastest model, {fastest.model}, classifies "
            f"{fastest.images_per_second / slowest.images_per_second:.0f} times as many images per second as the "
            f"slowest, {slowest.model}. So a plan needs the profile of its own model.",
        ),
        differs="the weights are random, which changes neither times nor memory.",
    )


def _models_table(lines: tuple[ModelRow, ...]) -> Table:
    return Table(
        head=("model", "engine", "L of 1 image", "best mini-batch", "L there", "images/s", "W", "S", "MB"),
        rows=tuple(
            (
                line.model,
                line.engine,
                fine(line.single_us / 1e6),
                number(line.fastest.mini_batch_size),
                fine(line.fastest.latency_micros.mean / 1e6),
                f"{line.images_per_second:,.1f}",
                f"{fine(line.warmup_us / 1e6)} at {line.warmup_size}",
                NOTHING if line.startup_us is None else fine(line.startup_us / 1e6),
                f"{number(line.max_mini_batch_size)}{' (extrapolated)' if line.extrapolated else ''}",
            )
            for line in lines
        ),
        words=2,
    )


def together_chapter(summary: StudySummary, pictures: Pictures) -> Chapter:
    """Return the chapter on concurrent processes and energy."""
    title = "Several processes at once, and energy"
    intro = "The study leaves concurrency, and limits on cost and energy, to future work."
    together = summary.together
    if together is None:
        return missing(title, intro, "together")
    return Chapter(
        title=title,
        intro=intro,
        findings=tuple(_together_sentences(together)),
        pictures=tuple(chosen(pictures, together="Images per second of processes side by side")),
        table=_together_table(together),
    )


def _together_sentences(together: Together) -> Iterator[str]:
    best: dict[str, Rate] = {}
    for rate in together.rates:
        best_rate = best.get(rate.arrangement)
        if best_rate is None or rate.images_per_second > best_rate.images_per_second:
            best[rate.arrangement] = rate
    ranked = sorted(best.values(), key=lambda rate: -rate.images_per_second)
    if len(ranked) > 1:
        first, second = ranked[0], ranked[1]
        ratio = first.images_per_second / second.images_per_second
        clear = "" if first.least > second.most else " The rounds overlap, so this is not certain."
        yield (
            f"{_words(together, first)} {'reaches' if first.processes == 1 else 'reach'} "
            f"{number(first.images_per_second)} images/s at the best size, {ratio:.2f} times as much as "
            f"{_words(together, second)}.{clear}"
        )
    if together.layouts and not together.gpu:
        speeds = ", ".join(f"{name} {number(speed)} images/s" for name, speed in sorted(together.layouts.items()))
        pool = " and ".join(f"{count} × {name}" for name, count in together.chosen.items())
        yield f"By their profiles, the layouts reach: {speeds}."
        yield f"The planner takes the fastest layout as the machine's pool: {pool}."
    if together.gpu:
        yield "The planner runs one process on each GPU; a slice of a GPU (MIG) is a device class of its own."
    yield from _energy_sentences(together)


def _energy_sentences(together: Together) -> Iterator[str]:
    for column, what in (("gpu_j", "GPU"), ("cpu_j", "processor")):
        counted_rates = [(getattr(rate, column), rate) for rate in together.rates if getattr(rate, column) is not None]
        if counted_rates:
            joules, rate = min(counted_rates, key=lambda pair: pair[0])
            yield (
                f"The {what} takes at least {joules:.3g} J per image, with {_words(together, rate)} at mini-batch size "
                f"{rate.mini_batch_size}."
            )
        elif what == "GPU" and not together.gpu:
            continue
        else:
            yield f"The energy of the {what} can't be read on this machine, so no number is given."


def _words(together: Together, rate: Rate) -> str:
    return words_of(rate.processes, rate.threads, gpu=together.gpu)


def _together_table(together: Together) -> Table:
    columns = [name for name in ("gpu_j", "cpu_j") if any(getattr(rate, name) is not None for rate in together.rates)]
    heads = {"gpu_j": "J per image, GPU", "cpu_j": "J per image, processor"}
    return Table(
        head=("side by side", "mini-batch", "images/s", "least", "most", "rounds", *(heads[name] for name in columns)),
        rows=tuple(
            (
                _words(together, rate),
                number(rate.mini_batch_size),
                number(rate.images_per_second),
                number(rate.least),
                number(rate.most),
                number(rate.rounds),
                *(NOTHING if getattr(rate, name) is None else f"{getattr(rate, name):.3g}" for name in columns),
            )
            for rate in together.rates
        ),
    )
