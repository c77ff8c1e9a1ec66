"""What the API server's refusals mean, as sentences."""

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.schema import LenientSpec, decode
from dueby_api.untrusted import one_sentence

# HTTP status of who is unknown.
UNAUTHORIZED = 401


class Forbidden(DueByError):
    """The user may not do it, or a policy of the cluster is against it."""


class SignedOut(DueByError):
    """The API server doesn't know who asks."""


class Absent(DueByError):
    """There is no such object, or no such kind."""

    def __init__(self, sentence: str, name: str) -> None:
        super().__init__(sentence)
        self.name = name
        """What the missing object is called; empty if its kind is missing."""


class _Details(LenientSpec, frozen=True, kw_only=True):
    name: str = ""


class _Refused(LenientSpec, frozen=True, kw_only=True):
    """What the API server says of a request that failed."""

    message: str = ""
    details: _Details | None = None


def refusal(status: int, body: str, *, doing: str) -> DueByError:
    """Return what an answer with this HTTP status means to who is `doing` something."""
    try:
        said = decode(_Refused, body)
    except Invalid:  # of a proxy, or of a path that the API server doesn't have
        said = _Refused()
    sentence = f"can't {doing}: {one_sentence(said.message) or f'the API server answers {status}'}"
    if status == UNAUTHORIZED:
        return SignedOut(f"can't {doing}: the cluster doesn't accept your credentials, which may have expired")
    if status == 403:
        return Forbidden(sentence)
    if status == 404 and said.details and said.details.name:
        return Absent(sentence, said.details.name)
    if status == 404:
        return Absent(f"can't {doing}: the cluster has no InferenceJobs; install DueBy's chart first", "")
    return Transient(sentence) if status == 429 or status >= 500 else DueByError(sentence)
