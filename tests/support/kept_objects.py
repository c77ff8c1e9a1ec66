"""An API server that keeps what it is given: it says 409 to a name that is there, and holds to preconditions."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Document = dict[str, Any]


@dataclass
class KeptObjects:
    """The objects that are there, by their path, and what was asked for besides reading, in its order."""

    objects: dict[str, Document] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    unknown: tuple[str, ...] = ()
    """Fields of a `spec` that this version has never heard of."""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as an API server does, as far as single objects are concerned."""
        path, method = request.path, request.method
        body = json.loads(await request.read() or b"{}")
        if method != "GET":
            self.asked.append((method, path))
        if method == "POST":
            return self._create(f"{path}/{body['metadata']['name']}", body, is_dry="dryRun" in request.query)
        found = self.objects.get(path)
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        if method == "DELETE":
            if body["preconditions"]["uid"] != found["metadata"]["uid"]:
                return web.json_response({"message": "the UID in the precondition"}, status=409)
            del self.objects[path]
        elif method == "PATCH":
            return self._merge(found, body)
        elif method == "PUT":
            self.objects[path] = body
        return web.json_response(found)

    def _create(self, path: str, body: Document, *, is_dry: bool) -> web.Response:
        if unknown := [name for name in self.unknown if name in body.get("spec", {})]:
            said = ", ".join(f'unknown field "spec.{name}"' for name in unknown)
            message = f'Job in version "v1" cannot be handled as a Job: strict decoding error: {said}'
            return web.json_response({"message": message}, status=400)
        if path in self.objects:
            return web.json_response({"message": "there already"}, status=409)
        if not is_dry:
            self.objects[path] = {**body, "metadata": {"uid": f"uid-of-{path}", **body["metadata"]}}
        return web.json_response(body)

    def _merge(self, found: Document, body: Document) -> web.Response:
        uid = found["metadata"]["uid"]
        if body.get("metadata", {}).get("uid", uid) != uid:
            message = 'Job.batch "a" is invalid: metadata.uid: Invalid value: "x": field is immutable'
            return web.json_response({"message": message}, status=422)
        found["spec"] |= body["spec"]
        return web.json_response(found)
