"""What looks like a credential is taken out of a text, and the rest stays."""

from __future__ import annotations

import pytest

from runtime_core.scrub import HIDDEN, scrubbed, without_secrets

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route to https://host:8000/jobs/j1", "no route to https://host:8000/jobs/j1"),
        (f"at https://me:{SECRET}@host/jobs", "at https://***@host/jobs"),
        (f"http://{SECRET}@[::1]:8000", "http://***@[::1]:8000"),
        (f"GET /jobs?token={SECRET}&limit=1 failed", "GET /jobs?*** failed"),
        ("Does a service run there? Yes", "Does a service run there? Yes"),
        ("Really??", "Really??"),
        (f"sent Authorization: Bearer {SECRET}, and", "sent Authorization: ***, and"),
        (f"Authorization: Token {SECRET} is refused", "Authorization: *** is refused"),
        (f"{{'Authorization': 'ApiKey {SECRET}', 'id': 7}}", "{'Authorization': '***', 'id': 7}"),
        (f"Bearer  {SECRET}", "Bearer ***"),
        (f"sent 'basic {SECRET}'", "sent 'basic ***'"),
        (f"X-Access-Token: {SECRET}", "X-Access-Token: ***"),
        (f'{{"api_key": "{SECRET}", "id": 7}}', '{"api_key": "***", "id": 7}'),
        (f"password={SECRET}; user=me", "password=***; user=me"),
        ("the token is not accepted (401)", "the token is not accepted (401)"),
        (f"eyJhbGciOi.{SECRET}.abc is no token", "*** is no token"),
        ("key " + "k3y" * 20 + " is refused", "key *** is refused"),
        ("a1" * 20, "***"),
        ("a1" * 19 + "a", "a1" * 19 + "a"),
        (f"Digest {SECRET}", "Digest ***"),
        (f"negotiate {SECRET}", "negotiate ***"),
        (f"secret: {SECRET}", "secret: ***"),
        (f"passwd={SECRET}", "passwd=***"),
        (f"api-key={SECRET}&apikey={SECRET}", "api-key=***&apikey=***"),
        (f"Cookie: {SECRET}", "Cookie: ***"),
        (f"credential={SECRET}", "credential=***"),
        (f"credentials={SECRET}", "credentials=***"),
        (f"Signature={SECRET}", "Signature=***"),
        (f"x-authorization={SECRET}", "x-authorization=***"),
        ("a" * 60, "a" * 60),
        ("5" * 60, "5" * 60),
        ("d1f0a7c2-5f1e-4c57-9d3a-0d8f2b6e7a11", "d1f0a7c2-5f1e-4c57-9d3a-0d8f2b6e7a11"),
    ],
)
def test_what_looks_like_a_credential(text: str, shown: str) -> None:
    assert scrubbed(text) == shown
    assert SECRET not in scrubbed(text)


def test_what_is_known_to_be_secret() -> None:
    secrets = ("", "a/b", "a/b c")
    assert without_secrets("x a/b c a%2Fb%20c a/b y", secrets) == f"x {HIDDEN} {HIDDEN} {HIDDEN} y"
    assert scrubbed("x a/b y", secrets) == f"x {HIDDEN} y"
    # The longer one first, or its beginning would stay.
    assert without_secrets("the password", ("word", "password")) == f"the {HIDDEN}"
    assert without_secrets("a \ud800 b", ("\ud800",)) == f"a {HIDDEN} b"


def test_a_long_text_is_shortened_and_no_secret_is_cut_in_two() -> None:
    assert scrubbed("ab " * 166 + "ab") == "ab " * 166 + "ab"  # 500
    assert scrubbed("ab " * 167) == ("ab " * 166)[:497] + "..."
    assert scrubbed("ab " * 1000) == ("ab " * 1000)[:497] + "..."
    assert scrubbed("x" * 495 + " a/b/c", ("a/b/c",)) == "x" * 495 + " ***"
    assert "s3c" not in scrubbed(f"{'x ' * 240}token={SECRET * 50}")
    assert len(scrubbed("ab " * 30_000, limit=100_000)) == 65_536


@pytest.mark.parametrize(
    "piece",
    ["://", "a?b", "bearer ", "authorization=", " ", "token=", "eyJ.", "-", "a1-", "\ud800"],
)
def test_no_text_takes_long(piece: str) -> None:
    assert 0 < len(scrubbed(piece * 100_000)) <= 500  # if it were quadratic, in some minutes
