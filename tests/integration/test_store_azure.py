"""Azure Blob Storage by a real server: the store's contract, an index of it, and what its refusals mean."""

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from dueby.doctor.finding import Asked
from dueby.doctor.places import check_places
from dueby_api.errors import Invalid, Transient
from dueby_api.source import ListedSource, Source
from dueby_worker.storage.retry import Throttled
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.stores import open_store
from support.azure import AzureServer, azurite_server, delete_container, put_container, put_object
from support.fault_proxy import BUSY, GATEWAYS_404, FaultProxy, Refusal, no_fault, proxied
from support.index import HURRIED, PATIENT, index_of, read
from support.pictures import encode, photo
from support.store import StoreContract
from support.web import Whole, serving

pytestmark = pytest.mark.azure


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    with azurite_server(tmp_path_factory.mktemp("azure")) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(server: AzureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def proxy(server: AzureServer) -> Iterator[FaultProxy]:
    with proxied(server) as proxy:
        yield proxy


NUMBERS = count()


@pytest.fixture
def prefix() -> str:
    """A part of the container that no other test uses."""
    return f"test-{next(NUMBERS)}"


@pytest.fixture
def open_again(server: AzureServer, prefix: str) -> Callable[[], Store]:
    return lambda: open_store(server.uri(prefix), retry=HURRIED)


class TestAzureStore(StoreContract):
    """A prefix of a container."""


@pytest.fixture
def photos(server: AzureServer, prefix: str) -> Store:
    """A folder of ten photos, one of them in a folder of its own, and a file that is none."""
    store = open_store(server.uri(f"{prefix}-in"), retry=HURRIED)
    for number in range(9):
        store.create(f"{number:05d}.jpg", encode(photo(size=(8, 8)), "JPEG"))
    store.create("sub/00009.png", encode(photo(size=(8, 8)), "PNG"))
    store.create("notes.txt", b"no image")
    return store


@pytest.mark.parametrize(
    ("uri", "images"),
    [
        pytest.param("{}", 10, id="a folder"),
        pytest.param("{}/", 10, id="a folder with a slash"),
        pytest.param("{}/*.jpg", 9, id="a glob"),
        pytest.param("{}/**/*.png", 1, id="a glob of any depth"),
        pytest.param("{}/00000.jpg", 1, id="one object"),
    ],
)
def test_a_source_is_indexed_and_read(photos: Store, open_again: Callable[[], Store], uri: str, images: int) -> None:
    index = index_of(Source(uri=uri.format(photos.uri)), open_again())
    assert index.images == index.document.summary.input_cost.sampled == images
    assert [image.uri for image in read(index)] == index.uris(0, images - 1)
    assert not [image.error for image in read(index) if image.error]


def test_a_list_is_relative_to_its_folder(photos: Store, server: AzureServer, tmp_path: Path) -> None:
    photos.create("list.csv", f"uri\n00001.jpg\n{server.uri('x/y.jpg')}\n../z.jpg\n".encode())
    index = index_of(
        Source(manifest=ListedSource(uri=photos.uri_of("list.csv")), allow_unreadable=True),
        open_store(str(tmp_path / "sink")),
    )
    assert index.uris(0, 2) == [photos.uri_of("00001.jpg"), server.uri("x/y.jpg"), server.uri("z.jpg")]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        pytest.param(
            Source(uri="az://nowhere/x"),
            "spec.source.uri: az://nowhere/x: ContainerNotFound: The specified container does not exist",
            id="no such container",
        ),
        pytest.param(
            Source(uri="az://No_Container/x"),
            "spec.source.uri: az://No_Container/x: InvalidResourceName: The specified resource name contains invalid "
            "characters",
            id="a bad name",
        ),
        pytest.param(
            Source(uri="az://photos/nowhere"),
            "spec.source.uri: az://photos/nowhere: there are no objects below it",
            id="no such folder",
        ),
        pytest.param(
            Source(manifest=ListedSource(uri="az://photos/no.txt")),
            "spec.source.manifest.uri: az://photos/no.txt: there is no such object",
            id="no such list",
        ),
    ],
)
def test_what_is_not_there_is_the_users_to_correct(
    open_again: Callable[[], Store], source: Source, sentence: str
) -> None:
    with pytest.raises(Invalid) as caught:
        index_of(source, open_again())
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param(
            {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}, "AuthorizationFailure: Server failed to auth", id="key"
        ),
        pytest.param({"AZURE_STORAGE_ACCOUNT_KEY": "?"}, "Invalid Access Key", id="no key at all"),
        pytest.param(
            {"AZURE_STORAGE_ACCOUNT_NAME": None},
            "no storage account is named; set AZURE_STORAGE_ACCOUNT_NAME",
            id="no account",
        ),
    ],
)
def test_wrong_credentials_are_the_users_to_correct(
    server: AzureServer,
    tmp_path: Path,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str | None],
    sentence: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.delenv(name)
        if value is not None:
            monkeypatch.setenv(name, value)
    store = open_store(server.uri(prefix), retry=HURRIED)
    for ask in (lambda: store.create("x", b""), store.list_names):
        with pytest.raises(Invalid, match=rf"^spec.sink.uri: az://photos/{prefix}.*{sentence}"):
            ask()
    with pytest.raises(Invalid, match=sentence):
        index_of(Source(uri=server.uri(prefix)), open_store(str(tmp_path / "sink")))
    [finding] = check_places(Asked(uris=(server.uri(prefix),), namespace=None))
    assert (finding.verdict, sentence in finding.sentence) == ("fails", True)


def test_a_key_revoked_while_images_are_read_is_no_images_error(
    tmp_path: Path, photos: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_of(Source(uri=photos.uri), open_store(str(tmp_path / "sink")))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(Transient):
        list(read(index))


def test_one_missing_object_is_that_images_error(tmp_path: Path, photos: Store) -> None:
    index = index_of(Source(uri=photos.uri), open_store(str(tmp_path / "sink")))
    photos.delete("00002.jpg")
    errors = {image.index: image.error for image in read(index) if image.error}
    assert errors == {2: "It can't be read: there is no such object."}


def test_a_removed_container_is_no_images_error(server: AzureServer, tmp_path: Path, prefix: str) -> None:
    put_container(server.endpoint, prefix)
    for number in range(5):
        open_store(f"az://{prefix}").create(f"{number}.jpg", encode(photo(size=(8, 8)), "JPEG"))
    index = index_of(Source(uri=f"az://{prefix}"), open_store(str(tmp_path / "sink")))
    delete_container(server.endpoint, prefix)
    with pytest.raises(Transient, match="is the source gone"):
        list(read(index))


def test_names_with_an_empty_part_are_refused(server: AzureServer, prefix: str) -> None:
    put_object(server, f"{prefix}/a//b.jpg", b"photo")
    store = open_store(server.uri(prefix), retry=HURRIED)
    with pytest.raises(Unavailable, match=f'Path "{prefix}/a//b.jpg" contained empty path segment; such names'):
        list(store.walk())
    with pytest.raises(Unavailable, match="its name has an empty part, which isn't supported on Azure"):
        store.read("a//b.jpg")
    with pytest.raises(Invalid, match="its name has an empty part"):
        open_store(server.uri(f"{prefix}//rows"), retry=HURRIED).create("x", b"")


@pytest.mark.deep
def test_a_long_listing_goes_on_behind_what_it_gave_when_it_fails(
    server: AzureServer, prefix: str, proxy: FaultProxy
) -> None:
    names = [f"{number:04d}.jpg" for number in range(5_100)]
    for name in names:
        put_object(server, f"{prefix}/{name}", b"")
    asked = count()
    # Azure's pages have 5,000 names: the second page fails, and when it is asked for again, the first.
    proxy.fault = lambda request: BUSY if "comp=list" in request.path and next(asked) in (1, 2) else None
    assert list(open_store(server.uri(prefix), retry=PATIENT).walk()) == names
    assert next(asked) == 5


def test_a_photo_costs_one_request(photos: Store, proxy: FaultProxy) -> None:
    assert open_store(photos.uri, retry=HURRIED).read_once("00000.jpg", max_bytes=10**6)[:2] == b"\xff\xd8"
    assert [request.method for request in proxy.requests] == ["GET"]


def test_a_store_that_is_busy_is_asked_more_slowly(photos: Store, proxy: FaultProxy) -> None:
    store = open_store(photos.uri, retry=HURRIED)
    proxy.fault = lambda request: Refusal(status=503, code="ServerBusy", message="The server is busy.")
    for _ in range(2):
        with pytest.raises(Throttled, match="ServerBusy: The server is busy"):
            store.read_once("00000.jpg", max_bytes=10**6)
    proxy.fault = no_fault
    assert store.read_once("00000.jpg", max_bytes=10**6)


def test_a_gateway_is_not_believed(photos: Store, proxy: FaultProxy) -> None:
    store = open_store(photos.uri, retry=HURRIED)
    proxy.fault = lambda request: GATEWAYS_404
    for ask in (
        lambda: store.exists("00000.jpg"),
        lambda: store.delete("00000.jpg"),
        lambda: store.create("new", b""),
        store.list_names,
    ):
        with pytest.raises(Transient, match=r"what answers for photos is no server of Azure's \(status 404\)"):
            ask()
    proxy.fault = no_fault
    assert store.exists("00000.jpg")


def test_an_object_counts_as_created_only_if_azure_says_that_there_is_one(
    open_again: Callable[[], Store], proxy: FaultProxy
) -> None:
    store = open_again()
    proxy.fault = lambda request: Refusal(status=409, code="ContainerBeingDeleted", message="It is being deleted.")
    with pytest.raises(Transient, match="ContainerBeingDeleted"):
        store.create("a", b"rows")
    proxy.fault = lambda request: Refusal(status=412, code="ConditionNotMet", message="There is one.")
    assert not store.create("a", b"rows")
    proxy.fault = lambda request: Refusal(status=403, code="AuthorizationPermissionMismatch", message="You may not.")
    with pytest.raises(
        Transient, match="AuthorizationPermissionMismatch: You may not"
    ):  # it could be written to before
        store.create("b", b"rows")


def test_an_object_above_one_request_is_created_once(open_again: Callable[[], Store]) -> None:
    data = os.urandom(1 << 20) * 20
    assert open_again().create("large", data)
    assert not open_again().create("large", data[:-1])
    assert open_again().read("large") == data


class MicrosoftEntra(Whole):
    """Gives a token as Microsoft documents it, to who shows the pod's, and an object to who shows that token."""

    def do_POST(self) -> None:  # noqa: N802 - as http.server calls it
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if (self.path, form["client_assertion"]) == ("/the-tenant/oauth2/v2.0/token", ["of the pod"]):
            self._answer(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": "of Azure"})
        else:
            self._answer(401, {"error": "invalid_client", "error_description": "AADSTS700211: No such identity."})

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        if self.headers["Authorization"] == "Bearer of Azure":
            super().do_GET()
        else:
            self._answer(401, {})

    def _answer(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def end_headers(self) -> None:
        self.send_header("ETag", '"0x8DC"')
        super().end_headers()


def test_a_pods_identity_is_exchanged_for_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "account" / "photos").mkdir(parents=True)
    (tmp_path / "account" / "photos" / "a.jpg").write_bytes(b"photo")
    (tmp_path / "token").write_text("of the pod")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    with serving(tmp_path, MicrosoftEntra) as address:
        variables = {
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ENDPOINT": f"{address}/account",
            "AZURE_CLIENT_ID": "the-client",
            "AZURE_TENANT_ID": "the-tenant",
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
            "AZURE_AUTHORITY_HOST": address,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert open_store("az://photos", retry=HURRIED).read("a.jpg") == b"photo"
        (tmp_path / "token").write_text("of somebody else")
        with pytest.raises(Invalid, match=r"no token was given for it \(AADSTS700211: No such identity\.\)"):
            open_store("az://photos", retry=HURRIED).list_names()


def test_the_identity_of_a_machine_that_has_none_is_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    with pytest.raises(Invalid, match=r"no credentials are set|no token was given for it"):
        open_store("az://photos", retry=HURRIED).list_names()
