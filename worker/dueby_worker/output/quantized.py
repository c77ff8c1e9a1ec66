"""`_dueby/int8/`: the quantized network of a job at int8, made once by the index step and read by every worker.

Two machines quantize alike but not to the last digit, so rows of one job come from one network. It is called by the
job's fingerprint, which covers all that it depends on: weights, images, output.
"""

from dueby_api.errors import Invalid
from dueby_worker.storage.store import NotFound, Store

_DIGITS = 32


def quantized_path(fingerprint: str) -> str:
    """Return the path, in the sink, of the quantized network of the job with this fingerprint."""
    return f"_dueby/int8/{fingerprint[:_DIGITS]}.zip"


def read_quantized(store: Store, fingerprint: str) -> bytes:
    """Return the job's quantized network. Raise Invalid if it isn't there."""
    path = quantized_path(fingerprint)
    try:
        return store.read(path)
    except NotFound:
        raise Invalid(
            "spec.model.precision", f"{store.uri_of(path)}, the int8 network, isn't there; run the index step again"
        ) from None
