"""Whoever AWS's variables and files name reads images: a real server that knows one key, in one bucket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby_worker.storage.store import Unavailable
from dueby_worker.storage.stores import open_store
from support.index import HURRIED
from support.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server, versitygw_server
from support.web import Whole, serving

pytestmark = pytest.mark.s3
KEYS = f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
UNTIL = "2999-01-01T00:00:00Z"
AS_JSON = json.dumps({"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        (server.folder / "a.jpg").write_bytes(b"photo")
        yield server


@pytest.fixture(autouse=True)
def environment(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the server, and no key."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_a_profile_of_the_credentials_file_is_taken(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text(f"[photos]\n{KEYS}")
    monkeypatch.setenv("AWS_PROFILE", "photos")
    assert open_store(server.uri(), retry=HURRIED).read("a.jpg") == b"photo"


def test_a_program_that_a_profile_names_is_asked(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys.json").write_text(AS_JSON)
    (tmp_path / "config").write_text(f"[profile program]\ncredential_process = cat {tmp_path / 'keys.json'}\n")
    monkeypatch.setenv("AWS_PROFILE", "program")
    assert open_store(server.uri(), retry=HURRIED).read("a.jpg") == b"photo"


def test_a_pods_identity_is_asked_for_at_its_address(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "AccessKeyId": ACCESS_KEY,
        "SecretAccessKey": SECRET_KEY,
        "Token": "",
        "Expiration": "2999-01-01T00:00:00Z",
    }
    (tmp_path / "pod").write_text(json.dumps(answer))
    with serving(tmp_path, Whole) as address:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{address}/pod")
        assert open_store(server.uri(), retry=HURRIED).read("a.jpg") == b"photo"


def test_a_web_identity_is_exchanged_for_a_key(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("a pod's token")
    with serving(tmp_path, SecurityTokens) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", address)
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        assert open_store(server.uri(), retry=HURRIED).read("a.jpg") == b"photo"


class SecurityTokens(Whole):
    """Answers AssumeRoleWithWebIdentity as AWS documents it."""

    def do_POST(self) -> None:  # noqa: N802 - as http.server calls it
        self.rfile.read(int(self.headers["Content-Length"]))
        keys = f"<AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>"
        inner = f"<Credentials>{keys}<SessionToken/><Expiration>{UNTIL}</Expiration></Credentials>"
        name = "AssumeRoleWithWebIdentity"
        data = f"<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_without_a_key_one_asks_as_anybody_may(server: S3Server) -> None:
    with pytest.raises(Unavailable):
        open_store(server.uri(), retry=HURRIED).read("a.jpg")
