"""What a study's page says: the numbers of the run as sentences, chapter by chapter."""

from dueby.report.sections.facts import Facts
from dueby_pages.wording import counted, duration
from dueby_study.pages.answers import answers_chapter, models_chapter, printed_chapter, together_chapter
from dueby_study.pages.document import Pictures, StudyPage
from dueby_study.pages.future import future_chapter
from dueby_study.pages.times import features_chapter, latency_chapter, memory_chapter, times_chapter
from dueby_study.summary import StudySummary

STUDY = "On Serving Image Classification Models"
DOI = "10.1145/3631295.3631401"


def study_page(summary: StudySummary, pictures: Pictures) -> StudyPage:
    """Return the page of these numbers; `pictures` are PNGs by the figures' names."""
    settings = summary.settings
    busy = ("Another program used this machine while a profile was measured, so its times are too long.",)
    return StudyPage(
        title=STUDY,
        eyebrow=f"the study of doi:{DOI}, repeated on this machine",
        lead=(
            f"The study measured EfficientNet-B0 on an NVIDIA A100. This page repeats it with {settings.model} on "
            f"{_machine(summary)}, and shows what the study's two models answer there."
        ),
        warnings=busy if summary.busy else (),
        facts=list(_facts(summary)),
        chapters=[
            memory_chapter(summary, pictures),
            times_chapter(summary, pictures),
            latency_chapter(summary, pictures),
            features_chapter(summary, pictures),
            answers_chapter(summary, pictures),
            printed_chapter(summary, pictures),
            models_chapter(summary),
            together_chapter(summary, pictures),
            future_chapter(summary),
        ],
        footer=f"Made by dueby-study ({settings.preset}). The rows are in raw/, the numbers in summary.json.",
    )


def _machine(summary: StudySummary) -> str:
    settings = summary.settings
    if settings.gpus:
        return " and ".join(f"{settings.gpus.count(product)} × {product}" for product in dict.fromkeys(settings.gpus))
    return counted(round(settings.cores), "core")


def _facts(summary: StudySummary) -> Facts:
    settings = summary.settings
    yield "model", f"{settings.model}, {settings.image_size} px, {settings.precision}"
    if summary.subject:
        yield "engine", summary.subject.engine
    yield "processor", f"{settings.cores:g} × {settings.processor}"
    if settings.gpus:
        yield "GPUs", ", ".join(settings.gpus)
    yield "software", ", ".join(f"{name} {version}" for name, version in settings.software.items())
    yield "measured in", duration(sum(summary.seconds.values()))
