"""The cluster of the tests is what they take it for."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from ray_cluster import RayHead


def test_the_head_says_its_version(head: RayHead) -> None:
    assert head.call("GET", "/api/version")["ray_version"] == "2.60.0"


def test_the_head_wants_the_token(head: RayHead) -> None:
    for token, status in ((None, 401), ("x" * 32, 403)):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(head.url + "/api/jobs/", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        caught.value.close()
        assert caught.value.code == status
