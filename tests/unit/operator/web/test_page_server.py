"""The page's server: what it answers to whom, and that nobody can keep it, or the operator, busy."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from dueby_api.errors import Invalid
from dueby_operator.web.page_server import MAX_REQUESTS, PageServer, serve_page

PAGE = b"<!doctype html><p>Jobs</p>"
Serve = Callable[..., PageServer]
Answer = tuple[http.client.HTTPResponse, bytes]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server of the page on a free port."""
    with ExitStack() as stack:

        def call(draw: Callable[[], bytes | None] = lambda: PAGE, address: str = "127.0.0.1:0") -> PageServer:
            server = serve_page(draw, address)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield call


def connect(server: PageServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=30)


def ask(server: PageServer, path: str = "/", *, method: str = "GET", host: str = "localhost") -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)) as connection:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer, answer.read()


def test_the_page_is_served_and_asked_for_again(serve: Serve) -> None:
    answer, body = ask(serve())
    assert (answer.status, body) == (200, PAGE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 1 <= int(answer.headers["Refresh"]) <= 60
    assert "Python" not in answer.headers["Server"]


def test_a_head_has_the_same_headers_and_no_body(serve: Serve) -> None:
    server = serve()
    full, _ = ask(server)
    answer, body = ask(server, "/?x=1", method="HEAD")
    assert (answer.status, body) == (200, b"")
    assert {**answer.headers, "Date": ""} == {**full.headers, "Date": ""}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/metrics", 404, id="another path"),
        pytest.param("GET", "/../etc/passwd", 404, id="a file"),
        pytest.param("POST", "/", 501, id="a form"),
        pytest.param("DELETE", "/", 501, id="a deletion"),
        pytest.param("GET", "/", 200, id="the page"),
        pytest.param("<b>", "/", 501, id="a method that is markup"),
    ],
)
def test_whatever_is_asked_the_answer_runs_and_loads_nothing(serve: Serve, method: str, path: str, status: int) -> None:
    answer, body = ask(serve(), path, method=method)
    assert answer.status == status
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {"script-src", "connect-src", "frame-src"}.isdisjoint(policy)
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert (b"Jobs" in body) == (status == 200)
    assert b"<b>" not in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8082", 200),
        ("127.0.0.1", 200),
        ("[::1]:8082", 200),
        ("evil.example:8082", 421),
        ("localhost.x", 421),
    ],
)
def test_on_the_loopback_no_other_name_leads_to_the_page(serve: Serve, host: str, status: int) -> None:
    answer, body = ask(serve(), host=host)
    assert (answer.status, body == PAGE) == (status, status == 200)


def test_in_the_network_every_name_does(serve: Serve) -> None:
    assert ask(serve(address="0.0.0.0:0"), host="calendar.example")[1] == PAGE


def test_before_the_first_pass_the_page_says_so_and_asks_again(serve: Serve) -> None:
    answer, body = ask(serve(lambda: None))
    assert (answer.status, body) == (503, b"The operator has not looked at the cluster yet.\n")
    assert answer.headers["Refresh"]


def test_clients_that_say_nothing_are_few_and_the_next_one_is_turned_away(serve: Serve) -> None:
    server = serve()
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server)) for _ in range(MAX_REQUESTS)]
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(server)
        for one in silent:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert one.makefile("rb").read().endswith(PAGE)


def test_a_page_that_cannot_be_drawn_is_logged_and_the_next_one_is_served(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [True, False]

    def draw() -> bytes:
        if failures.pop(0):
            raise ValueError("a bug")
        return PAGE

    server = serve(draw)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server)
    assert ask(server)[1] == PAGE
    (record,) = caplog.records
    assert record.exc_info
    assert "a bug" in caplog.text


def test_a_client_that_hangs_up_is_not_worth_a_line(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    is_asked, has_gone = threading.Event(), threading.Event()

    def draw() -> bytes:
        is_asked.set()
        assert has_gone.wait(30)
        return PAGE

    server = serve(draw)
    server.daemon_threads = False  # so that closing it waits for the one that answers
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert is_asked.wait(30)
        # Closed with a reset, not with a word of goodbye.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    has_gone.set()
    server.shutdown()
    server.server_close()
    assert caplog.records == []


@pytest.mark.parametrize("address", ["", "8082", ":8082", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "h:²"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="--calendar-page: must be an address and a port"):
        serve_page(lambda: PAGE, address)


def test_an_address_that_is_taken_or_not_there_is_refused(serve: Serve) -> None:
    port = serve().server_port
    for address in (f"127.0.0.1:{port}", "192.0.2.1:0"):
        with pytest.raises(Invalid, match=f"--calendar-page: can't listen on {address}: "):
            serve_page(lambda: PAGE, address)
