"""The API server of a cluster, asked by the official client.

It is reached as kubectl reaches it: by the kubeconfig's current context, with its namespace, proxy and way of signing
in, or, in a pod without a kubeconfig, by the pod's service account. Each question has a time limit.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import kubernetes
import urllib3
import yaml

from dueby.cluster.apply import merge_patch, with_last_applied
from dueby.cluster.job_list import API_SERVER
from dueby.cluster.refusals import UNAUTHORIZED, Absent, SignedOut, refusal
from dueby_api.errors import DueByError, Invalid, Transient, first_line
from dueby_api.inference_job import API_VERSION
from dueby_api.schema import LenientSpec, decode
from dueby_api.untrusted import one_sentence, printable

# Until there is a connection, and then until the next bytes of an answer come.
TIMEOUTS_S = (5.0, 30.0)
_GROUP, _, _VERSION = API_VERSION.partition("/")
_JOBS = "inferencejobs"
_KUBECONFIG = "~/.kube/config"
# Where a pod finds its credentials, and the namespace that it is in.
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# What the client raises of a kubeconfig that is damaged: it checks some of it, and trips over the rest.
_DAMAGED = (kubernetes.config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError)

Document = Mapping[str, Any]
Answer = TypeVar("Answer", bound=LenientSpec)


# What is read of its answers, and nothing else of them.
class _Resource(LenientSpec, frozen=True, kw_only=True):
    name: str


class _Resources(LenientSpec, frozen=True, kw_only=True):
    resources: tuple[_Resource, ...] = ()


class _ReviewStatus(LenientSpec, frozen=True, kw_only=True):
    allowed: bool = False


class _AccessReview(LenientSpec, frozen=True, kw_only=True):
    status: _ReviewStatus = _ReviewStatus()


class _ObjectMetadata(LenientSpec, frozen=True, kw_only=True):
    namespace: str = ""
    annotations: dict[str, str] | None = None


class _Readiness(LenientSpec, frozen=True, kw_only=True):
    ready_replicas: int = 0


class _AnyObject(LenientSpec, frozen=True, kw_only=True):
    metadata: _ObjectMetadata
    status: _Readiness = _Readiness()


class _Objects(LenientSpec, frozen=True, kw_only=True):
    items: tuple[_AnyObject, ...] = ()


class APIServer:
    """The API server; every method raises DueByError with a sentence if it isn't answered as it should be."""

    def __init__(self, *, pod: Path = _POD, timeouts_s: tuple[float, float] = TIMEOUTS_S) -> None:
        self._pod, self._timeouts_s = pod, timeouts_s
        self._sign_in()

    def list_jobs(self, namespace: str | None) -> bytes:
        """Return the list of the jobs in the namespace, or in all, as JSON."""
        if namespace is None:
            return self._ask("list the jobs", "list_cluster_custom_object", plural=_JOBS)
        return self._ask("list the jobs", "list_namespaced_custom_object", plural=_JOBS, namespace=namespace)

    def list_profiles(self) -> bytes:
        """Return the list of the GPUProfiles as JSON. Raise Forbidden if the user may not read them."""
        return self._ask("list the profiles", "list_cluster_custom_object", plural="gpuprofiles")

    def get_job(self, name: str, *, namespace: str | None) -> bytes | None:
        """Return the job as JSON; None if there is none of this name. Without a namespace it is the context's."""
        where = {"plural": _JOBS, "namespace": namespace or self.namespace}
        try:
            return self._ask("find the job", "get_namespaced_custom_object", **where, name=name)
        except Absent as error:
            if error.name == name:
                return None
            raise

    def apply_job(self, document: Document, *, namespace: str | None) -> bytes:
        """Create the job, or change the one of its name as `kubectl apply` does, and return it as JSON.

        Without a namespace it is the document's, or else the context's. Raise Invalid if the two differ.
        """
        # A document that Python has made may have times of its own.
        wanted = json.loads(json.dumps(document, default=_text_of))
        metadata = wanted["metadata"]
        own = metadata.get("namespace")
        if namespace and own and own != namespace:
            raise Invalid("metadata.namespace", f"is {own}, and the job is submitted to {namespace}")
        where = {"plural": _JOBS, "namespace": namespace or own or self.namespace}
        wanted = with_last_applied(wanted)
        there = self.get_job(metadata["name"], namespace=where["namespace"])
        doing, strict = "submit the job", {"field_validation": "Strict", "field_manager": "dueby"}
        if there is None:
            return self._ask(doing, "create_namespaced_custom_object", **where, **strict, body=wanted)
        return self._ask(
            doing,
            "patch_namespaced_custom_object",
            **where,
            **strict,
            name=metadata["name"],
            body=merge_patch(_read(_AnyObject, there).metadata.annotations or {}, wanted),
            _content_type="application/merge-patch+json",
        )

    def try_job(self, document: Document, *, namespace: str | None) -> None:
        """Have the API server say whether it would take the job. Raise DueByError with its reason if it wouldn't."""
        where = {"plural": _JOBS, "namespace": namespace or self.namespace}
        self._ask("create a job", "create_namespaced_custom_object", **where, body=document, dry_run="All")

    def is_allowed(self, verb: str, *, namespace: str | None) -> bool:
        """Return whether the user may do this with jobs."""
        attributes = {"namespace": namespace or self.namespace, "verb": verb, "group": _GROUP, "resource": _JOBS}
        review = self._ask(
            f"say whether you may {verb} a job",
            "create_cluster_custom_object",
            group="authorization.k8s.io",
            version="v1",
            plural="selfsubjectaccessreviews",
            body={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
        )
        return _read(_AccessReview, review).status.allowed

    def fetch(self, path: str, query: Mapping[str, str], accept: str) -> tuple[int, bytes]:
        """Return the status and the body of the API server's answer to a GET. Several threads may call it at once.

        Raise DueByError if there is no answer, or if the API server doesn't know who asks.
        """
        try:
            return self._fetch(path, query, accept)
        except SignedOut:
            self._sign_in()
            return self._fetch(path, query, accept)

    def served_kinds(self) -> frozenset[str]:
        """Return the plurals of DueBy's resources that the cluster has, each with the group."""
        try:
            served = _read(_Resources, self._ask("reach a cluster", "get_api_resources"))
        except Absent:
            return frozenset()
        return frozenset(f"{resource.name}.{_GROUP}" for resource in served.resources)

    def find_operators(self) -> dict[str, bool]:
        """Return the namespaces that have an operator, and whether it is ready there."""
        deployments = self._ask(
            "see the operator",
            "list_cluster_custom_object",
            group="apps",
            version="v1",
            plural="deployments",
            label_selector="app.kubernetes.io/name=dueby",
        )
        # Of two in one namespace the one that is ready counts.
        operators = sorted(_read(_Objects, deployments).items, key=lambda operator: operator.status.ready_replicas)
        return {operator.metadata.namespace: operator.status.ready_replicas > 0 for operator in operators}

    def _sign_in(self) -> None:
        settings = kubernetes.client.Configuration()
        settings.retries = False  # else what refuses connections is asked four times, with pauses
        with _failing_plugins():
            self.namespace = _configure(settings, self._pod)
        self._objects = kubernetes.client.CustomObjectsApi(kubernetes.client.ApiClient(settings))

    def _ask(self, doing: str, question: str, **about: Any) -> bytes:
        """Return what the API server answers; whose credentials have expired signs in once more."""
        about = {"group": _GROUP, "version": _VERSION, **about}
        try:
            return self._answer(doing, question, about)
        except SignedOut:
            self._sign_in()
            return self._answer(doing, question, about)

    def _answer(self, doing: str, question: str, about: Mapping[str, Any]) -> bytes:
        call: Callable[..., urllib3.BaseHTTPResponse] = getattr(self._objects, question)
        with self._reaching(doing):
            return call(**about, _preload_content=False, _request_timeout=self._timeouts_s).data

    def _fetch(self, path: str, query: Mapping[str, str], accept: str) -> tuple[int, bytes]:
        client, doing = self._objects.api_client, "read the cluster"
        with self._reaching(doing):
            method, url, headers, _, _ = client.param_serialize(
                "GET",
                path,
                query_params=list(query.items()),
                header_params={"Accept": accept},
                auth_settings=["BearerToken"],
            )
            answer = client.call_api(method, url, headers, _request_timeout=self._timeouts_s)
            body: bytes = answer.read()
        if answer.status == UNAUTHORIZED:
            raise refusal(UNAUTHORIZED, "", doing=doing)
        return answer.status, body

    @contextmanager
    def _reaching(self, doing: str) -> Iterator[None]:
        """Raise DueByError with a sentence where there is no answer, or a refusal."""
        try:
            yield
        except kubernetes.client.ApiException as error:
            if error.status:
                raise refusal(error.status, error.body or "", doing=doing) from None
            # A certificate that isn't trusted.
            raise DueByError(f"can't {doing}: {one_sentence(str(error.reason))}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            host = self._objects.api_client.configuration.host
            raise Transient(f"can't {doing}: {host} {_failure(error, self._timeouts_s)}") from None


def _text_of(moment: date) -> str:
    return moment.isoformat()


def _read(kind: type[Answer], answer: bytes) -> Answer:
    """Return the answer as `kind`. Raise Invalid if it is something else, such as a proxy's page."""
    return decode(kind, answer, origin=API_SERVER)


def _configure(settings: kubernetes.client.Configuration, pod: Path) -> str:
    """Set how the cluster is reached; return the namespace that is meant where none is named."""
    files = os.environ.get("KUBECONFIG") or _KUBECONFIG
    there = any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)
    try:
        if not there and "KUBERNETES_SERVICE_HOST" in os.environ:
            credentials = {"token_filename": str(pod / "token"), "cert_filename": str(pod / "ca.crt")}
            kubernetes.config.incluster_config.InClusterConfigLoader(**credentials).load_and_set(settings)
            return (pod / "namespace").read_text().strip()
        if there:
            kubernetes.config.load_kube_config(files, client_configuration=settings)
            _, context = kubernetes.config.list_kube_config_contexts(files)
            return str(context["context"].get("namespace") or "default")
    except _DAMAGED as error:
        origin = files if there else str(pod)
        raise Invalid("cluster", f"{origin} can't be used: {printable(first_line(error))}") from None
    raise Invalid("cluster", f"there is none to ask: {files} isn't there, and this is no pod of a cluster")


@contextmanager
def _failing_plugins() -> Iterator[None]:
    """Raise DueByError with what the client only logs: that the program failed by which the kubeconfig signs in."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "root":
                said.append(record.getMessage())

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    if said:
        raise DueByError(f"can't sign in to the cluster: {one_sentence(said[-1])}")


def _failure(error: Exception, timeouts_s: tuple[float, float]) -> str:
    """Return why no answer came, as the end of a sentence about the server."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"hasn't answered within {timeouts_s[1]:g} s"
    # To urllib3 a connection that is refused at once is a timeout, too.
    is_refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not is_refused:
        return f"can't be reached within {timeouts_s[0]:g} s"
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"can't be reached: {one_sentence(reason)}"
