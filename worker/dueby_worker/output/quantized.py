"""`_dueby/int8/`: the quantized network of a job at int8, made once by the index step and read by every worker.

Two machines quantize alike but not to the last digit, so rows of one job come from one network. It is called by the
job's fingerprint, which covers all that it depends on: weights, images, output. How far it is from fp32 lies beside it,
where that was measured.
"""

import json

from dueby_api.agreement import Agreement
from dueby_api.errors import Invalid
from dueby_api.schema import decode
from dueby_worker.storage.store import NotFound, Store

QUANTIZED_FOLDER = "_dueby/int8"
_DIGITS = 32


def quantized_path(fingerprint: str) -> str:
    """Return the path, in the sink, of the quantized network of the job with this fingerprint."""
    return f"{QUANTIZED_FOLDER}/{fingerprint[:_DIGITS]}.zip"


def read_quantized(store: Store, fingerprint: str) -> bytes:
    """Return the job's quantized network. Raise Invalid if it isn't there."""
    path = quantized_path(fingerprint)
    try:
        return store.read(path)
    except NotFound:
        raise Invalid(
            "spec.model.precision", f"{store.uri_of(path)}, the int8 network, isn't there; run the index step again"
        ) from None


def copy_quantized(store: Store, before: str, fingerprint: str) -> None:
    """Let a generation have the quantized network of the one before, which has another fingerprint."""
    store.create(quantized_path(fingerprint), read_quantized(store, before))
    if agreement := read_agreement(store, before):
        note_agreement(store, fingerprint, agreement)


def note_agreement(store: Store, fingerprint: str, agreement: Agreement) -> None:
    """Put into the sink how far the job's quantized network is from fp32, in place of what another one was."""
    store.replace(_agreement_path(fingerprint), json.dumps(agreement.document()).encode())


def read_agreement(store: Store, fingerprint: str) -> Agreement | None:
    """Return how far the job's quantized network is from fp32; None if the sink doesn't say."""
    path = _agreement_path(fingerprint)
    try:
        return decode(Agreement, store.read(path), origin=store.uri_of(path))
    # The second is what another version has noted. No row depends on it.
    except (NotFound, Invalid):
        return None


def _agreement_path(fingerprint: str) -> str:
    return f"{QUANTIZED_FOLDER}/{fingerprint[:_DIGITS]}.json"
