"""What several files of this folder test with: a browser, an S3 server, and a proxy before it that fails when told to.

A file that needs its own kind of one has a fixture of the same name.
"""

import shutil
from collections.abc import Iterator

import pytest

from support.browser import Browser, open_browser
from support.fault_proxy import FaultProxy, proxied
from support.s3 import S3Server, versitygw_server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program is not None
    with open_browser(program, profile=tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with versitygw_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    with proxied(server) as proxy:
        yield proxy
