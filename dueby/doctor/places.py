"""The places that the user asks about: whether their store answers with the credentials that this process has.

Nothing is written there. Of a folder on this machine it is known without that whether results could be.
"""

import os
from collections.abc import Iterator

from dueby.doctor.finding import Asked, Finding
from dueby.inputs.needs import needing
from dueby_api.errors import DueByError
from dueby_api.words import counted


def check_places(request: Asked) -> Iterator[Finding]:
    """Yield what is at each URI, or why that can't be seen."""
    for uri in request.uris:
        try:
            sentence = _describe(uri)
        except DueByError as error:
            advice = "check the name and the credentials; docs/manifest.md says where they are looked for"
            sentence = str(error).removeprefix(f"{uri}: ")
            yield Finding(subject=uri, verdict="fails", sentence=sentence, advice=advice)
        else:
            yield Finding(subject=uri, verdict="ok", sentence=sentence)


def _describe(uri: str) -> str:
    with needing("a URI", "worker"):
        from dueby_worker.storage.retry import RetryPolicy
        from dueby_worker.storage.stores import open_store
        from dueby_worker.storage.uris import canonical_uri, file_path, is_glob, literal_folder, scheme_of
    uri = literal_folder(uri) if is_glob(uri) else uri
    # Whoever asks waits for no store that is away.
    at_once = RetryPolicy(total_s=0)
    store = open_store(uri, field=uri, retry=at_once)
    folder, _, name = store.uri.rpartition("/")
    scheme = scheme_of(canonical_uri(uri))
    is_web = scheme in ("http", "https")
    try:
        if open_store(folder, field=uri, retry=at_once).exists(name):
            return "can be read"
    except DueByError:
        if is_web:
            raise
        # A store's answer about one object has no words. Its answer to who lists says why that is refused.
    if is_web:
        return "the server answers, but has no such file"
    count = len(store.list_names()) + len(store.list_folders())
    contents = (
        f"can be listed, with {counted(count, 'name')} in it" if count else "the store answers; nothing is there yet"
    )
    if scheme == "file":
        can = "can" if _is_writable(file_path(canonical_uri(uri))) else "can not"
        return f"{contents}; results {can} be written there"
    return f"{contents}; whether results can be written shows only when they are"


def _is_writable(path: str) -> bool:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK)
