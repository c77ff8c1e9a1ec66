"""The kind of store that a URI names."""

from dueby_api.errors import Invalid
from dueby_worker.storage.retry import PATIENT, Patience
from dueby_worker.storage.store import Store
from dueby_worker.storage.uris import OBJECT_SCHEMES, WEB_SCHEMES, canonical_uri, scheme_of


def open_store(uri: str, *, field: str = "spec.sink.uri", patience: Patience = PATIENT) -> Store:
    """The store at the URI; `field` is what Invalid says is wrong."""
    try:
        uri = canonical_uri(uri)
    except ValueError as error:
        raise Invalid(field, str(error)) from None
    # Each imports its own library, which not every worker has a use for.
    if scheme_of(uri) in OBJECT_SCHEMES:
        from dueby_worker.storage.object_store import ObjectStore

        return ObjectStore(uri, field=field, patience=patience)
    if scheme_of(uri) in WEB_SCHEMES:
        from dueby_worker.storage.web_store import WebStore

        return WebStore(uri, field=field, patience=patience)
    from dueby_worker.storage.local_store import LocalStore

    return LocalStore(uri, field=field, patience=patience)
