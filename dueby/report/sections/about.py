"""About this run: what ran, where and with what, so that somebody can do the same again."""

from collections import defaultdict
from collections.abc import Sequence

from dueby.report.run import Run
from dueby.report.sections.facts import Facts, flatten
from dueby_api.inference_job import JobSpec
from dueby_api.run_record import MachineRecord
from dueby_api.step_messages import FinishResult
from dueby_api.words import counted, faults
from dueby_pages.wording import size

# Names of workers that say the same of their parity, before an ellipsis stands for the others.
_MAX_NAMES = 4
_MIB = 2**20


def about(run: Run, generations: Sequence[FinishResult] = ()) -> dict[str, Facts]:
    """Return facts by heading; a heading of which nothing is known is left out."""
    model, machine = run.summary.model, run.summary.machine
    blocks: dict[str, Facts] = {
        "Job": [*(_job_facts(run.job.spec) if run.job else ()), *_unlisted(run.summary.unlisted)],
        "Generations of the sink": [
            (
                str(added.generation),
                f"{counted(added.images, 'image')}{_of_changed(added.replaced)}{faults(added.errors, added.warnings)}, "
                f"by {added.job}",
            )
            for added in generations
        ],
        "Model": list(flatten(model.document())) if model else (),
        "Machine": _machine_facts(machine) if machine else (),
        "Software": list(flatten(run.summary.software)),
        "Parity with torch eager": _parity_facts(run),
    }
    return {name: facts for name, facts in blocks.items() if facts}


def _of_changed(images: int) -> str:
    return f" ({images:,} of files that had changed)" if images else ""


def _unlisted(unlisted: str | None) -> Facts:
    return [("files that are no images by their endings", unlisted)] if unlisted else []


def _job_facts(spec: JobSpec) -> Facts:
    # Fields are named one by one because the manifest may hold secrets, such as keys in worker.env.
    source = list(flatten(spec.source.document(), "source.")) or [("source", "synthetic images")]
    facts = [*source, ("sink.uri", spec.sink.uri), ("sink.ifExists", spec.sink.if_exists)]
    limits = [(name, value) for name, value in flatten(spec.gpus.document(), "gpus.") if value != "0"]
    if spec.max_failed_images is not None:
        facts = [("maxFailedImages", str(spec.max_failed_images)), *facts]
    return [("deadlineClass", spec.deadline_class), *facts, *limits]


def _machine_facts(machine: MachineRecord) -> Facts:
    facts = [("cores", None if machine.cores is None else f"{machine.cores:g}")]
    facts += [("memory", None if machine.memory_mib is None else size(machine.memory_mib * _MIB))]
    facts += [(f"devices of {name}", f"{count:,}") for name, count in machine.devices.items()]
    return [(name, value) for name, value in facts if value is not None]


def _parity_facts(run: Run) -> Facts:
    """Return what the engines' checks at the start found, each once, named by the workers that found it."""
    workers: dict[str, list[str]] = defaultdict(list)
    for name, worker in run.workers.items():
        if worker.parity:
            facts = (f"{key} {value}" for key, value in flatten(worker.parity.document()))
            workers[worker.parity.sentence or ", ".join(facts)].append(name)
    return [(_name_all(names), sentence) for sentence, names in workers.items()]


def _name_all(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
