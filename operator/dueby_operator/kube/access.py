"""Where the API server is, and what to show it: whoever starts the operator knows, such as a library."""

import ssl
from typing import Protocol


class Access(Protocol):
    """Where the API server is and what to show it, such as kopf.ConnectionInfo."""

    @property
    def server(self) -> str:
        """Address, with its scheme."""

    def as_http_headers(self) -> dict[str, str]:
        """Return the credentials that are sent with each request."""

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return the credentials that the connection is made with."""
