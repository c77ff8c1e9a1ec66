"""The end of a job whose sink holds every part before it is run: it needs no device, no plan and no time."""

from pathlib import Path

from dueby.cli.console import Teller
from dueby.cli.failures import tell_failures
from dueby.cli.session import End
from dueby.cli.summary import print_complete
from dueby.local import steps
from dueby_api.inference_job import InferenceJob
from dueby_api.run_record import Summary
from dueby_worker.storage.stores import open_store


def close_complete(job: InferenceJob, folder: Path, teller: Teller) -> End:
    """Finish a sink that holds every part already, and return how it ended.

    Raise Invalid if the rows are of other images or another model.
    """
    steps.index(job, folder, teller.say_of_step)
    closed = steps.finish(job, folder, teller.say_of_step)
    code = print_complete(job, closed, teller.console, prefix=teller.prefix)
    tell_failures(job.spec, images=closed.rows, failed=closed.errors, sink=open_store(job.spec.sink.uri), teller=teller)
    summary = Summary(
        job=job.metadata.name,
        images=closed.rows,
        images_done=closed.rows,
        images_failed=closed.errors,
        images_warned=closed.warnings,
        verdict="Failed" if code else "Succeeded",
        model=job.spec.model,
    )
    return End(code=code, summary=summary)
