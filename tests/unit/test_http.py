"""Outgoing calls against real servers on loopback."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import urllib3

from codestream.core.errors import ConfigurationError
from codestream.core.http import (
    AddressRefused,
    Reach,
    Session,
    TransportError,
    open_session,
    origin,
    pool_manager,
    send,
    send_within,
)
from codestream.sandbox.http_server import (
    ConnectionDropped,
    HttpServer,
    Request,
    Response,
    json_response,
    redirect_response,
    text_response,
)


def answer(request: Request) -> Response:
    """Echo what came, send elsewhere, or break, by path."""
    if request.path == "/away":
        return redirect_response(request.query["to"], 302)
    if request.path == "/drop":
        raise ConnectionDropped
    if request.path == "/deep":
        return text_response("[" * 100_000)
    if request.path == "/cookie":
        return Response(headers={"Set-Cookie": "a=b"})
    return json_response({**dict(request.headers.items()), "body": request.body.decode()})


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(answer) as running:
        yield running


@pytest.fixture
def session(server: HttpServer) -> Iterator[Session]:
    with open_session(Reach.ENDPOINT, allow=[place(server)]) as opened:
        yield opened


def place(server: HttpServer) -> str:
    return server.url.removeprefix("http://")


def test_loopback_is_refused_by_default(server: HttpServer) -> None:
    with open_session(Reach.ENDPOINT, allow=[]) as closed, pytest.raises(AddressRefused):
        send(closed, "GET", server.url)


def test_a_name_that_leads_to_loopback_is_refused(server: HttpServer) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    with open_session(Reach.ENDPOINT, allow=[]) as closed, pytest.raises(AddressRefused):
        send(closed, "GET", url)


def test_the_allowed_place_answers_and_another_port_stays_closed(
    server: HttpServer, session: Session
) -> None:
    with HttpServer(answer) as neighbour:
        assert send(session, "GET", server.url).status == 200
        with pytest.raises(AddressRefused):
            send(session, "GET", neighbour.url)


def test_the_call_goes_to_the_address_that_was_checked_without_a_second_look_up(
    server: HttpServer,
) -> None:
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = server.url.rpartition(":")[2]
    opened = open_session(Reach.PUBLIC, allow=[f"nowhere.invalid:{port}"], resolve=resolve)
    with opened:
        response = send(opened, "GET", f"http://nowhere.invalid:{port}/")

    assert response.json()["Host"] == f"nowhere.invalid:{port}"  # type: ignore[index,call-overload]
    assert asked == ["nowhere.invalid"]


def test_the_next_address_is_tried_when_the_first_refuses_the_connection(
    server: HttpServer,
) -> None:
    port = server.url.rpartition(":")[2]
    opened = open_session(
        Reach.PUBLIC,
        allow=[f"two.invalid:{port}"],
        resolve=lambda _host, _port: ["::1", "127.0.0.1"],
    )
    with opened:
        assert send(opened, "GET", f"http://two.invalid:{port}/").status == 200


def test_a_redirect_is_an_answer_and_not_followed(server: HttpServer, session: Session) -> None:
    response = send(session, "GET", f"{server.url}/away?to=/elsewhere")
    assert (response.status, response.headers["location"]) == (302, "/elsewhere")


def test_a_followed_redirect_to_a_refused_address_is_refused(
    server: HttpServer, session: Session
) -> None:
    url = f"{server.url}/away?to=http://169.254.169.254/latest/"
    with pytest.raises(AddressRefused, match="metadata"):
        send(session, "GET", url, follow_redirects=True)


def test_the_product_says_who_it_is_and_sends_what_it_was_given(
    server: HttpServer, session: Session
) -> None:
    echo = send(session, "POST", server.url, json={"a": 1}, headers={"X-Trace": "t"}).json()

    assert isinstance(echo, dict)
    assert str(echo["User-Agent"]).startswith("Codestream")
    assert (echo["X-Trace"], echo["body"]) == ("t", '{"a": 1}')


def test_no_cookie_is_carried_from_one_call_to_the_next(
    server: HttpServer, session: Session
) -> None:
    send(session, "GET", f"{server.url}/cookie")
    assert b"Cookie" not in send(session, "GET", server.url).body


def test_a_dropped_connection_may_be_tried_again(server: HttpServer, session: Session) -> None:
    with pytest.raises(TransportError) as failed:
        send(session, "POST", f"{server.url}/drop")
    assert failed.value.retryable


def test_a_closed_port_is_unreachable_and_may_be_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = "{}:{}".format(*unused.getsockname())
    with (
        open_session(Reach.ENDPOINT, allow=[free]) as opened,
        pytest.raises(TransportError, match="cannot be reached") as failed,
    ):
        send(opened, "GET", f"http://{free}/")
    assert failed.value.retryable


def test_a_silent_server_is_given_up_after_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = "{}:{}".format(*silent.getsockname())
        with (
            open_session(Reach.ENDPOINT, allow=[at]) as opened,
            pytest.raises(TransportError, match="in time"),
        ):
            send(opened, "GET", f"http://{at}/", read_seconds=0.05)


def test_an_unknown_name_is_said_to_be_unknown() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with (
        open_session(Reach.PUBLIC, allow=[], resolve=resolve) as opened,
        pytest.raises(TransportError, match="not known"),
    ):
        send(opened, "GET", "http://nowhere.invalid/")


def test_an_answer_over_the_size_limit_is_given_up(server: HttpServer, session: Session) -> None:
    with pytest.raises(TransportError, match="more than 10 bytes"):
        send(session, "GET", server.url, max_answer=10)


def test_a_message_holds_neither_query_nor_credentials(server: HttpServer) -> None:
    url = server.url.replace("http://", "http://me:pw@") + "/drop?secureToken=abc"
    with (
        open_session(Reach.ENDPOINT, allow=[place(server)]) as opened,
        pytest.raises(TransportError) as failed,
    ):
        send(opened, "GET", url)
    assert failed.value.user_message.startswith(server.url)
    assert not re.search("me:|pw@|abc|secureToken", failed.value.user_message)


@pytest.mark.parametrize("url", ["ftp://example.com/", "no-scheme", "http://", "http://a:99999/"])
def test_a_url_that_is_no_http_address_is_final(url: str) -> None:
    with open_session(Reach.PUBLIC, allow=[]) as opened, pytest.raises(TransportError) as failed:
        send(opened, "GET", url)
    assert not failed.value.retryable


def test_absurdly_nested_json_is_a_value_error(server: HttpServer, session: Session) -> None:
    with pytest.raises(ValueError, match=r"."):
        send(session, "GET", f"{server.url}/deep").json()


def test_a_server_without_tls_is_a_final_error_for_https(
    server: HttpServer, session: Session
) -> None:
    with pytest.raises(TransportError) as failed:
        send(session, "GET", server.url.replace("http:", "https:"))
    assert not failed.value.retryable


def test_an_unreadable_certificate_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        open_session(Reach.ENDPOINT, ca="not a certificate", allow=[])


def test_the_pool_manager_asks_the_guard_too(server: HttpServer) -> None:
    with pool_manager(Reach.ENDPOINT, allow=[place(server)]) as opened:
        assert opened.request("GET", server.url).status == 200
    with pool_manager(Reach.ENDPOINT, allow=[]) as closed, pytest.raises(AddressRefused):
        closed.request("GET", server.url)


def test_the_pool_manager_repeats_and_follows_nothing(server: HttpServer) -> None:
    with pool_manager(Reach.ENDPOINT, allow=[place(server)]) as opened:
        assert opened.request("GET", f"{server.url}/away?to=/x").status == 302
        with pytest.raises(urllib3.exceptions.ProtocolError):
            opened.request("GET", f"{server.url}/drop")


def test_a_session_can_be_used_by_several_threads(server: HttpServer, session: Session) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(send(session, "GET", server.url).status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 8


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Hub.Docker.com/v2/?a=b", "https://hub.docker.com:443"),
        ("http://me:pw@127.0.0.1:8001/x", "http://127.0.0.1:8001"),
        ("nonsense", ""),
        ("http://a:99999/", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_the_same_trust_is_read_once_and_another_one_apart() -> None:
    contexts = [
        pool_manager(Reach.ENDPOINT, verify=verify).connection_pool_kw["ssl_context"]
        for verify in (True, True, False)
    ]

    assert contexts[0] is contexts[1]
    assert [context.verify_mode for context in contexts] == [
        ssl.CERT_REQUIRED,
        ssl.CERT_REQUIRED,
        ssl.CERT_NONE,
    ]


@pytest.fixture
def dripping() -> Iterator[str]:
    """The address of a server whose headers never come to an end."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.01):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


def test_a_call_with_a_limit_ends_though_an_answer_drips_in(dripping: str) -> None:
    allow = [dripping.removeprefix("http://")]
    with (
        open_session(Reach.ENDPOINT, allow=allow) as patient,
        pytest.raises(TransportError, match="did not answer in time") as error,
    ):
        send_within(patient, "GET", dripping, seconds=0.2)

    assert error.value.retryable


def test_a_call_with_a_limit_gives_the_answer_or_the_error_of_any_call(
    server: HttpServer, session: Session
) -> None:
    assert send_within(session, "GET", server.url, seconds=30).status == 200
    with pytest.raises(TransportError):
        send_within(session, "GET", f"{server.url}/drop", seconds=30)
    with open_session(Reach.ENDPOINT, allow=[]) as closed, pytest.raises(AddressRefused):
        send_within(closed, "GET", server.url, seconds=30)
