"""Why a job with too many failed images is Failed: how many, the first errors, and what to do."""

from dueby.cli.console import Teller
from dueby_api.inference_job import JobSpec
from dueby_worker.storage.store import Store

_SHOWN = 3


def tell_failures(spec: JobSpec, *, images: int, failed: int, sink: Store, teller: Teller) -> None:
    """Print it; nothing if the job allows so many."""
    sentence = spec.why_too_many(images=images, failed=failed)
    if not sentence:
        return
    # pyarrow takes a third of a second to import, and few jobs fail.
    from dueby.report.parts import find_parts, read_failed

    teller.say(sentence)
    for image in read_failed(find_parts(sink.list_names()), sink, most=_SHOWN):
        teller.say(f"  {image.uri}: {image.error}")
    if failed > _SHOWN:
        teller.say(f"  and {failed - _SHOWN:,} more; the column error of the results has them all")
    teller.say(
        "To accept them, raise spec.maxFailedImages and run the same command again. "
        "To classify them once they are fixed, add --retry-failed."
    )
