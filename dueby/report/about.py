"""About this run: what ran, where and with what, for whoever wants to have the same again."""

from collections import defaultdict

from dueby.report.facts import Facts, draw_facts, flatten
from dueby.report.html import Markup, tag
from dueby.report.run import Run
from dueby_api.inference_job import JobSpec


def draw_about(run: Run) -> Markup:
    """Blocks of facts; those that nothing is known of are left out."""
    model, machine = run.summary.model, run.summary.machine
    blocks: list[tuple[str, Facts]] = [
        ("Job", _job_facts(run.job.spec) if run.job else ()),
        ("Model", list(flatten(model.document())) if model else []),
        ("Machine", list(flatten(machine.document())) if machine else []),
        ("Software", list(flatten(run.summary.software))),
        ("Parity with torch eager", _parity_facts(run)),
    ]
    return tag(
        "div", [tag("div", tag("h3", name), draw_facts(facts)) for name, facts in blocks if facts], class_="about"
    )


def _job_facts(spec: JobSpec) -> Facts:
    """Of the manifest only what no secret is in: `worker.env` may hold keys."""
    source = list(flatten(spec.source.document(), "source.")) or [("source", "synthetic images")]
    facts = [*source, ("sink.uri", spec.sink.uri), ("sink.ifExists", spec.sink.if_exists)]
    limits = [(name, value) for name, value in flatten(spec.gpus.document(), "gpus.") if value != "0"]
    return [("deadlineClass", spec.deadline_class), ("maxFailedImages", str(spec.max_failed_images)), *facts, *limits]


def _parity_facts(run: Run) -> Facts:
    """What the engines' checks at the start said, and of how many workers."""
    workers: dict[str, list[str]] = defaultdict(list)
    for name, worker in run.workers.items():
        if worker.parity:
            facts = (f"{key} {value}" for key, value in flatten(worker.parity.document()))
            workers[worker.parity.sentence or ", ".join(facts)].append(name)
    return [(", ".join(names[:4]) + (", …" if len(names) > 4 else ""), said) for said, names in workers.items()]
