"""The control loop on an API server of a few objects, with one node and one profile."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from dueby_operator import paths
from dueby_operator.cluster.nodes import pod_row
from dueby_operator.gathering.gather import Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.gathering.worker_poll import Ask
from dueby_operator.jobs import names
from dueby_operator.kube.node_table import NodeTable
from dueby_operator.kube.scope import Scope
from dueby_operator.kube.served_apis import INDEX_PATH
from dueby_operator.model.writes import Create
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from dueby_operator.passes.reconciler import Reconciler
from dueby_operator.settings import OperatorSettings
from support.api import served
from support.decisions import NOW, SETTINGS, infj, node_document, pod_of
from support.operator import profile

Document = dict[str, Any]
MADE = {"creationTimestamp": infj()["metadata"]["creationTimestamp"]}


LISTED = ("gpuprofiles", "inferencejobs", "jobs", "nodes", "pods", "resourcequotas")


class Store:
    """The objects that are there, by their path, and what was written, in its order."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.listed = set(LISTED)
        """The kinds that are served."""
        self.written: list[tuple[str, str]] = []
        self.refuses: Callable[[str, Document], bool] = lambda path, body: False
        """Whether what is written there is refused."""
        self.refusal = (422, "status: Invalid value")
        """The status and the message of the answer then."""
        self.refused: list[tuple[str, Document]] = []

    def add(self, path: str, document: Document) -> None:
        self.objects[path] = document

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if "watch" in request.query:
            await asyncio.sleep(3600)
        if path == INDEX_PATH:  # it publishes no schemas
            return web.json_response({"paths": {}})
        if request.method == "GET":
            if found := self.objects.get(path):
                return web.json_response(found)
            kind = path.rpartition("/")[2]
            if kind not in self.listed:
                return web.json_response({"message": f"{path} not found"}, status=404)
            items = [document for place, document in self.objects.items() if f"/{kind}/" in place]
            items = selected(items, request.query.get("fieldSelector", ""))
            first, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", len(items)))
            more = str(first + limit) if first + limit < len(items) else ""
            page = {"metadata": {"resourceVersion": "1", "continue": more}, "items": items[first : first + limit]}
            return web.json_response(page)
        body = json.loads(await request.read())
        if self.refuses(path, body):
            self.refused.append((path, body))
            status, message = self.refusal
            return web.json_response({"message": message}, status=status)
        if request.method == "POST" and f"{path}/{body['metadata'].get('name')}" in self.objects:
            return web.json_response({"message": "there already"}, status=409)
        if "dryRun" in request.query:
            return web.json_response(body)
        if request.method == "PATCH":
            merge(self.objects[path.removesuffix("/status")], body)
            return web.json_response(body)
        self.written.append((request.method, path))
        if request.method == "PUT":
            # Of what is sent to `/status` the API server takes the status alone.
            kept = self.objects[path.removesuffix("/status")]
            self.objects[path.removesuffix("/status")] = {**kept, "status": body["status"]}
            return web.json_response(body)
        if request.method == "DELETE":
            if self.objects.get(path, {}).get("metadata", {}).get("uid") == body["preconditions"]["uid"]:
                del self.objects[path]
            return web.json_response({})
        name = body["metadata"].setdefault("name", f"event-{len(self.written)}")
        self.objects[f"{path}/{name}"] = {
            **body,
            "metadata": {**body["metadata"], "uid": f"u-{name}-{len(self.written)}", **MADE},
        }
        return web.json_response(body)

    def start_pods(self) -> None:
        """Those of the Jobs, as their controller would."""
        for path, config_map in list(self.objects.items()):
            if "/configmaps/" in path:
                namespace = config_map["metadata"]["namespace"]
                job = self.objects.get(paths.batch_path(namespace, config_map["metadata"]["name"]))
                if job is None:
                    continue
                create = Create(config_map=config_map, job=job)
                for index in range(job["spec"]["completions"]):
                    pod = pod_of(create, index)
                    owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
                    name = pod["metadata"]["name"]
                    pod["metadata"] |= {"namespace": namespace, "uid": f"u-{name}", "ownerReferences": [owner]}
                    self.objects[paths.core_path("pods", namespace, name)] = pod

    def take_written(self) -> list[str]:
        """The kinds that were written since this was asked last."""
        taken, self.written = self.written, []
        return [path.removesuffix("/status").split("/")[-2 if method == "PUT" else -1] for method, path in taken]


def merge(document: Document, fields: Document) -> None:
    """Change these fields of the document, each that is a document field by field."""
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            merge(document[name], value)
        else:
            document[name] = value


def selected(documents: list[Document], selector: str) -> list[Document]:
    """Those of which every field in the selector is not what it says there, as in `status.phase!=Failed`."""
    refused = [tuple(term.split("!=")) for term in filter(None, selector.split(","))]

    def value(document: Document, path: str) -> str:
        for key in path.split("."):
            document = document.get(key) or {}
        return str(document or "")

    return [found for found in documents if all(value(found, path) != other for path, other in refused)]


def synthetic(name: str) -> Document:
    document = infj(images=10_000, source={"synthetic": {}}, sink={"uri": f"s3://rows/{name}"})
    document["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
    return document


class Clock:
    now_us = NOW


def answering(answers: Mapping[str, Any]) -> Ask:
    """Workers that answer all the same, but those for whose pod there is an exception."""

    async def ask(pod: Pod, page: str) -> bytes | None:
        if isinstance(answers.get(pod.name), Exception):
            raise answers[pod.name]
        return json.dumps(answers, default=str).encode() if page == "/progress" and answers else None

    return ask


@asynccontextmanager
async def reconciler(
    store: Store, clock: Clock, answers: Mapping[str, Any] | Ask, *, settings: OperatorSettings = SETTINGS
) -> AsyncIterator[Reconciler]:
    """A loop on a cluster with one node and one profile; its workers answer all the same, or as they are asked."""
    ask = answers if callable(answers) else answering(answers)
    found = node_document()
    store.add(f"{paths.core_path('nodes')}/n", {**found, "metadata": {**found["metadata"], "uid": "uid-of-n"}})
    store.add(f"{paths.profiles_path()}/cpu-1", profile().document())
    async with served(store.answer) as kube:
        nodes = NodeTable(kube, settings, changed=lambda: None)
        scope = Scope(
            kube,
            settings,
            pod_row=lambda each: pod_row(parse(Pod, each), label=names.JOB, worker=names.WORKER),
            pod_changed=lambda *_: None,
        )
        tasks = [asyncio.create_task(table.run()) for table in (*nodes.tables(), *scope.tables())]
        gatherer = Gatherer(kube, settings, observer=JobObserver(kube, ask=ask), nodes=nodes, scope=scope)
        yield Reconciler(kube, gatherer, now_us=lambda: clock.now_us)
        for task in tasks:
            task.cancel()
