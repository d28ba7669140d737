"""The access token of a service: kept in one place, renewed when it is refused, shown nowhere."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

from runtime_core.errors import NotAuthorizedError, UsageError

TokenProvider: TypeAlias = Callable[[], str]
"""Gives an access token that is good now. May block; raises what it likes."""

_REMEMBERED: Final = 100
"""How many tokens are cut out of messages: an answer can only quote what was sent a moment ago."""

_TELLING: Final = 12
"""How many of its first characters make a token out of a text."""


class Credentials:
    """What all that speaks with one service sends as its access token. Thread-safe.

    Without a provider the token stays what it is. With one it is asked for a token before the first
    request, if there is none, and after a token was refused. Of many threads that come with the
    same refused token one asks, and the others take what it got, be that an error.

    Whoever had a token refused decides how often to come back: an HTTP request does once, and a
    stream with its next connection. So a provider whose tokens are all refused is asked at most
    once for each request and each connection.

    Raises:
        ValueError: if there is neither a token nor a provider, or the token cannot be sent.
    """

    def __init__(self, token: str | None, provider: TokenProvider | None = None) -> None:
        if token is None and provider is None:
            raise ValueError(
                "There is neither an access_token nor a token_provider; "
                'for a service that wants none, access_token="" says so.'
            )
        self._token = checked_token(token or "")
        self._provider = provider
        self._refused = ""
        self._askings = 0
        self._failure: Exception | None = None
        self._hidden: tuple[str, ...] = ()
        self._beginnings: re.Pattern[str] | None = None
        self._remember(self._token)
        # It may be entered twice, so that a provider that comes here itself is told so.
        self._lock = threading.RLock()
        self._is_asking = False
        self._process = os.getpid()

    def __repr__(self) -> str:
        return "<Credentials>"

    @property
    def held(self) -> str:
        """The token as it is now; empty if there is none. Asks nobody."""
        return self._token

    @property
    def are_renewed(self) -> bool:
        """Whether there is a provider."""
        return self._provider is not None

    def token(self) -> str:
        """Give the token to send; the provider is asked if there is none yet, which may block.

        Raises:
            NotAuthorizedError: if the provider raises, or gives what is no token.
        """
        return self._token or self.renewed("") or ""

    def renewed(self, refused: str) -> str | None:
        """Give another token than one that was refused; None if there is no other. May block.

        Raises:
            NotAuthorizedError: if the provider raises, or gives what is no token.
        """
        if self._provider is None:
            return None
        before = self._askings
        with self._turn():
            if self._token == refused and self._askings == before:
                self._ask(self._provider)
            if self._token != refused:
                return self._token
            if self._failure is not None:
                raise _unanswered(refused, self._failure) from self._failure
            return None

    def refuse(self, token: str) -> None:
        """Keep in mind that this token was refused; `prepare` will see to another one."""
        self._refused = token

    def prepare(self) -> None:
        """See to it that `held` is no token that was refused before, as far as can be; may block.

        Raises:
            NotAuthorizedError: if the provider raises, or gives what is no token.
        """
        if self._token in ("", self._refused):
            self.renewed(self._token)

    def hidden(self, text: str) -> str:
        """Give a text of somebody else's, without the tokens in it: the present and older ones.

        What a service has cut short goes too, if it is the beginning of a token.
        """
        if self._beginnings is None:
            return text
        parts, position = [], 0
        while found := self._beginnings.search(text, position):
            start = found.start()
            rest = [text[start : start + len(token)] for token in self._hidden]
            same = map(os.path.commonprefix, zip(self._hidden, rest, strict=True))
            parts += [text[position:start], "<access token>"]
            position = start + max(map(len, same))
        return "".join([*parts, text[position:]])

    def _ask(self, provider: TokenProvider) -> None:
        if self._is_asking:
            raise UsageError("The token_provider uses the client that waits for its token.")
        self._is_asking = True
        try:
            token = _given(provider)
            self._remember(token)
            self._token, self._failure = token, None
            self._askings += 1
        except Exception as error:  # of whoever wrote the provider
            self._failure = error
            self._askings += 1
        finally:
            self._is_asking = False

    def _remember(self, token: str) -> None:
        if token and token not in self._hidden:
            self._hidden = (*self._hidden[1 - _REMEMBERED :], token)
            beginnings = {each[:_TELLING] for each in self._hidden}
            self._beginnings = re.compile("|".join(map(re.escape, beginnings)))

    def _turn(self) -> AbstractContextManager[object]:
        # A fork may have copied the lock while a thread had it that is not in the child. Two
        # threads of the child that come here at once may make two: then the provider is asked
        # twice, no harm.
        if self._process != os.getpid():
            self._lock, self._is_asking, self._process = threading.RLock(), False, os.getpid()
        return self._lock


def checked_token(token: str) -> str:
    """Give the token back, if it can be sent.

    Raises:
        ValueError: if not; it is not quoted.
    """
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            "The access token holds a character that no token has: a space, or a line break "
            "at its end? strip() it."
        )
    return token


def _given(provider: Callable[[], object]) -> str:
    token = provider()
    if not isinstance(token, str):
        raise TypeError(f"The token_provider gave {type(token).__name__}, expected a str.")
    if not token:
        raise ValueError("The token_provider gave an empty text.")
    return checked_token(token)


def _unanswered(refused: str, failure: Exception) -> NotAuthorizedError:
    # The words of the provider's error are its own: they may hold a key. It is the cause.
    why = f"the token_provider gave no token: {type(failure).__name__}, which is the cause"
    if refused:
        return NotAuthorizedError(f"The access token was refused (401), and {why}.", 401)
    return NotAuthorizedError(f"There is no access token: {why}. Nothing was sent.")
