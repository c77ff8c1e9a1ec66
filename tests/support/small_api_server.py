"""A small API server over real HTTP: it keeps objects, merges patches, and fails as a test tells it to."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Document = dict[str, Any]
OURS = "/apis/dueby.dev/v1alpha1"
JOBS = f"{OURS}/inferencejobs"
PROFILES = f"{OURS}/gpuprofiles"
DEPLOYMENTS = "/apis/apps/v1/deployments"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def jobs_in(namespace: str) -> str:
    """The path of a namespace's jobs."""
    return f"{OURS}/namespaces/{namespace}/inferencejobs"


def status(code: int, message: str, *, name: str = "") -> tuple[int, str]:
    """What an API server answers to what it doesn't do; `name` is that of the object that is missing."""
    details = {"details": {"name": name}} if name else {}
    return code, json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": code, **details})


class SmallAPIServer:
    """What it keeps, was asked, and answers."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        """By the path of each."""
        self.lists: dict[str, list[Document]] = {}
        """By their paths."""
        self.kinds = ["inferencejobs", "gpuprofiles"]
        """What it has of DueBy."""
        self.forbidden: set[str] = set()
        """Verbs that the user may not use on jobs, as it says when it is asked."""
        self.answers: dict[str, tuple[int, str] | bytes] = {}
        """Of paths, or all paths at "": a status with a body, or what the connection ends with instead."""
        self.token = ""
        """Whoever has another one is unknown; empty: nobody is asked."""
        self.asked: list[str] = []
        """Each request, as GET /path?query."""
        self.sent: list[Document] = []
        """The bodies of those that had one."""
        self.dropped = 0
        """Connections that end without an answer, as long as there are some left."""
        self.may_answer = threading.Event()
        """While it isn't set, nothing is answered."""
        self.may_answer.set()
        self.address = ""

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Document | None) -> tuple[int, str]:
        """Do what is asked, as an API server would."""
        if path == OURS:
            return 200, json.dumps({"resources": [{"name": name} for name in self.kinds]})
        if path == REVIEWS and body:
            verb = body["spec"]["resourceAttributes"]["verb"]
            return 201, json.dumps({"status": {"allowed": verb not in self.forbidden}})
        if body is None:
            found = self.objects.get(path)
            name = path.rpartition("/")[2]
            return (200, json.dumps(found)) if found else self._list(path, name)
        if method == "POST":
            if "/namespaces/" in path:
                body["metadata"]["namespace"] = path.split("/")[-2]
            path = f"{path}/{body['metadata'].get('name')}"
        made = _merged(self.objects.get(path), body)
        if "dryRun" not in query:
            self.objects[path] = made
        return 200, json.dumps(made)

    def _list(self, path: str, kind: str) -> tuple[int, str]:
        if path in self.lists or kind in self.kinds:
            return 200, json.dumps({"kind": "List", "metadata": {}, "items": self.lists.get(path, [])})
        plural = path.split("/")[-2]
        if plural in self.kinds:
            return status(404, f'{plural}.dueby.dev "{kind}" not found', name=kind)
        return 404, "404 page not found\n"

    def kubeconfig(self, folder: Path, *, user: Document | None = None, server: str = "", proxy: str = "") -> Path:
        """Write the kubeconfig of who asks it, or another server, in the namespace `own`, as this user."""
        cluster = {"server": server or self.address, **({"proxy-url": proxy} if proxy else {})}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "there", "context": {"cluster": "there", "user": "me"}},
                {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "own"}},
            ],
            "clusters": [
                {"name": "there", "cluster": {"server": "http://127.0.0.1:1"}},
                {"name": "here", "cluster": cluster},
            ],
            "users": [{"name": "me", "user": user or {"token": self.token}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path


def _merged(there: Any, patch: Any) -> Any:
    """A merge patch, as RFC 7386 has it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(there) if isinstance(there, dict) else {}
    for name, value in patch.items():
        merged[name] = _merged(merged.get(name), value)
        if value is None:
            del merged[name]
    return merged


@contextmanager
def serving_api(certificate: Path | None = None) -> Iterator[SmallAPIServer]:
    """Serve until the block ends; over TLS with the certificate and key in this file."""
    api_server = SmallAPIServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Tests say enough."""

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            api_server.asked.append(f"{self.command} {self.path}")
            api_server.sent += [deepcopy(body)] if body else []
            api_server.may_answer.wait(60)
            where = urlsplit(self.path)
            planned = api_server.answers.get(where.path, api_server.answers.get(""))
            if api_server.dropped:
                api_server.dropped -= 1
                planned = b""
            if isinstance(planned, bytes):
                self.wfile.write(planned)
                self.close_connection = True
                return
            if api_server.token and self.headers["Authorization"].lower() != f"bearer {api_server.token}".lower():
                planned = status(401, "Unauthorized")
            code, text = planned or api_server.answer(self.command, where.path, dict(parse_qsl(where.query)), body)
            data = text.encode()
            with suppress(ConnectionError):  # whoever has asked may have left
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    server.daemon_threads = True
    api_server.address = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api_server
    finally:
        api_server.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()
