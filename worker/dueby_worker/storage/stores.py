"""Open the store that a URI names, by the table in dueby_api/schemes.py.

The table names each store's class as text. The class is imported when it is used, because its library is heavy and
most workers need only one.
"""

from dueby_api.errors import Invalid
from dueby_api.references import resolve
from dueby_api.schemes import SCHEMES
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.uris import canonical_uri, scheme_of


def open_store(uri: str, *, field: str = "spec.sink.uri", retry: RetryPolicy = DEFAULT_RETRY) -> Store:
    """Return the store at the URI. Raise Invalid, which blames `field`, if the URI is wrong."""
    try:
        uri = canonical_uri(uri)
    except ValueError as error:
        raise Invalid(field, str(error)) from None
    store: Store = resolve(SCHEMES[scheme_of(uri)].store)(uri, field=field, retry=retry)
    return store
