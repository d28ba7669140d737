"""`Credentials`: whom it asks for a token, how often, and that it shows none."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from adapters.http.credentials import Credentials
from runtime_core.errors import NotAuthorizedError, TransportError


class Provider:
    """Gives the next of these; an exception is raised, the last one comes again and again."""

    def __init__(self, *gives: object) -> None:
        self.asked = 0
        self._gives = list(gives)

    def __call__(self) -> str:
        self.asked += 1
        given = self._gives.pop(0) if self._gives[1:] else self._gives[0]
        if isinstance(given, BaseException):
            raise given
        return given  # type: ignore[return-value] # or something else, which is refused


def test_without_a_provider_the_token_stays() -> None:
    credentials = Credentials("t1")
    assert not credentials.are_renewed
    assert credentials.token() == credentials.held == "t1"
    assert credentials.renewed("t1") is None
    credentials.refuse("t1")
    credentials.prepare()
    assert credentials.held == "t1"


def test_an_empty_token_is_one_that_is_not_sent() -> None:
    credentials = Credentials("")
    credentials.prepare()
    assert credentials.token() == ""


def test_neither_a_token_nor_a_provider() -> None:
    with pytest.raises(ValueError, match="neither an access_token nor a token_provider"):
        Credentials(None)


@pytest.mark.parametrize("token", [None, ""])
def test_the_provider_is_asked_before_the_first_request(token: str | None) -> None:
    provider = Provider("t1", "t2")
    credentials = Credentials(token, provider)
    assert credentials.held == ""
    assert provider.asked == 0
    assert [credentials.token(), credentials.token()] == ["t1", "t1"]
    assert provider.asked == 1


def test_a_given_token_comes_first() -> None:
    provider = Provider("t2")
    credentials = Credentials("t1", provider)
    assert credentials.token() == "t1"
    assert provider.asked == 0
    assert credentials.renewed("t1") == credentials.token() == "t2"
    assert provider.asked == 1


def test_who_comes_with_an_old_token_takes_the_present_one() -> None:
    provider = Provider("t2", "t3")
    credentials = Credentials("t1", provider)
    assert [credentials.renewed("t1") for _ in range(3)] == ["t2"] * 3
    assert provider.asked == 1
    assert credentials.renewed("t2") == "t3"
    assert credentials.renewed("t1") == "t3"
    assert provider.asked == 2


def test_the_same_token_again_is_no_other() -> None:
    provider = Provider("t1")
    credentials = Credentials("t1", provider)
    assert credentials.renewed("t1") is None
    assert credentials.renewed("t1") is None
    assert provider.asked == 2  # once for each that was refused


# ---- for streams ---------------------------------------------------------------------------


def test_the_provider_is_asked_once_for_each_connection_that_was_refused() -> None:
    provider = Provider("t1", "t2", "t3")
    credentials = Credentials(None, provider)
    credentials.prepare()
    credentials.prepare()
    assert (credentials.held, provider.asked) == ("t1", 1)
    credentials.refuse("t1")
    assert (credentials.held, provider.asked) == ("t1", 1)  # that is on the loop: nobody is asked
    credentials.prepare()
    credentials.prepare()
    assert (credentials.held, provider.asked) == ("t2", 2)


def test_a_connection_that_was_refused_with_an_old_token_takes_the_present_one() -> None:
    provider = Provider("t2")
    credentials = Credentials("t1", provider)
    assert credentials.renewed("t1") == "t2"
    credentials.refuse("t1")
    credentials.prepare()
    assert (credentials.held, provider.asked) == ("t2", 1)


# ---- many threads --------------------------------------------------------------------------


class Observed(Credentials):
    """Tells who comes for another token, before they wait for their turn."""

    arrived: threading.Semaphore

    def _turn(self) -> AbstractContextManager[object]:
        self.arrived.release()
        return super()._turn()


def renewed_by_many(given: str | Exception) -> tuple[list[object], int]:
    """Have eight threads renew the same token; the provider answers when all are there."""
    arrived = threading.Semaphore(0)
    asked = 0

    def provider() -> str:
        nonlocal asked
        asked += 1
        for _ in range(8):
            assert arrived.acquire(timeout=10)
        if isinstance(given, Exception):
            raise given
        return given

    credentials = Observed("t1", provider)
    credentials.arrived = arrived

    def renew(_: int) -> object:
        try:
            return credentials.renewed("t1")
        except NotAuthorizedError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(renew, range(8))), asked


def test_of_many_threads_one_asks() -> None:
    assert renewed_by_many("t2") == (["t2"] * 8, 1)
    assert renewed_by_many("t1") == ([None] * 8, 1)


def test_of_many_threads_one_asks_in_vain() -> None:
    cause = OSError("no network")
    errors, asked = renewed_by_many(cause)
    assert asked == 1
    assert len(set(map(id, errors))) == 8  # an error belongs to who raises it
    for error in errors:
        assert isinstance(error, NotAuthorizedError)
        assert error.__cause__ is cause


def test_a_child_of_a_fork_finds_no_locked_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, through = threading.Event(), threading.Event()

    def provider() -> str:
        inside.set()
        if threading.current_thread() is not threading.main_thread():
            assert through.wait(10)
            return "of the parent"
        return "t2"

    credentials = Credentials("t1", provider)
    asking = threading.Thread(target=credentials.renewed, args=("t1",))
    asking.start()
    assert inside.wait(10)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        assert credentials.renewed("t1") == "t2"
    through.set()
    asking.join()


# ---- what a provider does wrong ------------------------------------------------------------


def test_what_a_provider_raises_is_the_cause() -> None:
    cause = KeyError("api-key-of-the-user")
    credentials = Credentials("t1", Provider(cause, "t2"))
    with pytest.raises(NotAuthorizedError) as caught:
        credentials.renewed("t1")
    error = caught.value
    assert isinstance(error, TransportError)
    assert str(error) == (
        "The access token was refused (401), and the token_provider gave no token: KeyError, "
        "which is the cause."
    )
    assert error.__cause__ is cause
    assert (error.status_code, error.retryable) == (401, False)
    assert credentials.renewed("t1") == "t2"


def test_without_a_first_token_nothing_is_sent() -> None:
    credentials = Credentials(None, Provider(OSError("no network"), "t1"))
    with pytest.raises(NotAuthorizedError, match=r"no access token: .* OSError.* Nothing was sent"):
        credentials.token()
    assert credentials.token() == "t1"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, TypeError),
        (b"s3cret", TypeError),
        ("", ValueError),
        ("s3cret\n", ValueError),
        ("s3 cret", ValueError),
        ("s3crét", ValueError),
    ],
)
def test_what_is_no_token(given: object, kind: type[Exception]) -> None:
    credentials = Credentials("t1", Provider(given))
    with pytest.raises(NotAuthorizedError) as caught:
        credentials.renewed("t1")
    assert type(caught.value.__cause__) is kind
    assert "s3c" not in f"{caught.value}{caught.value.__cause__}"
    assert credentials.held == "t1"


def test_a_provider_that_is_interrupted_may_be_asked_again() -> None:
    credentials = Credentials("t1", Provider(KeyboardInterrupt(), "t2"))
    with pytest.raises(KeyboardInterrupt):
        credentials.renewed("t1")
    assert credentials.renewed("t1") == "t2"


def test_a_provider_that_waits_for_its_own_token_is_told_so() -> None:
    credentials = Credentials(None, lambda: credentials.token())
    with pytest.raises(NotAuthorizedError) as caught:
        credentials.token()
    causes: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert "uses the client that waits for its token" in str(causes[-1])


# ---- what is shown -------------------------------------------------------------------------


def test_every_token_is_cut_out_of_a_text() -> None:
    credentials = Credentials("abc", Provider("abcdef", "x.y"))
    credentials.renewed("abc")
    credentials.renewed("abcdef")
    text = "now x.y, before abcdef, first abc; xzy is none"
    token = "<access token>"
    assert credentials.hidden(text) == f"now {token}, before {token}, first {token}; xzy is none"


def test_the_beginning_of_a_token_is_cut_out_too() -> None:
    token = "0123456789abcdefghijklmnopqrstuvwxyz"
    credentials = Credentials(token, Provider(f"{token[:20]}-and-others"))
    credentials.token()
    for length in range(12, len(token) + 1):
        assert credentials.hidden(f"bad {token[:length]}!") == "bad <access token>!"
        assert credentials.hidden(f"bad {token[:length]}") == "bad <access token>"
    assert credentials.hidden(token[:11]) == token[:11]
    assert credentials.hidden(token * 3) == "<access token>" * 3
    credentials.renewed(token)
    assert (
        credentials.hidden(f"{token[:20]}-and{token[:20]}{token[20:]}.")
        == "<access token>" * 2 + "."
    )


def test_only_so_many_tokens_are_remembered() -> None:
    tokens = [f"t{number:04}" for number in range(1001)]
    credentials = Credentials(tokens[0], Provider(*tokens[1:]))
    for token in tokens[:-1]:
        credentials.renewed(token)
    text = " ".join(tokens)
    assert credentials.hidden(text).count("<access token>") == 100
    assert tokens[-1] not in credentials.hidden(text)


@pytest.mark.parametrize("token", [None, "", "s3cret"])
def test_no_token_is_shown(token: str | None) -> None:
    credentials = Credentials(token, Provider("s3cret"))
    credentials.token()
    assert repr(credentials) == str(credentials) == "<Credentials>"
    assert credentials.hidden("s3cret and more") == "<access token> and more"


def test_without_a_token_texts_stay() -> None:
    assert Credentials("").hidden("s3cret") == "s3cret"
