"""Hypothesis strategies: what services send of jobs, and the values that travel in results."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runtime_core.tagged_json import encode_tagged

Json = dict[str, Any]

_WORDS = st.text(min_size=1, max_size=8)
_TEXTS = st.text(max_size=8)
_PARAMS = st.dictionaries(_TEXTS, st.none() | st.booleans() | st.integers() | _TEXTS, max_size=3)
_CODES = st.integers(0, 9999) | _WORDS
_TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat())

# Where the status stands: beside the id, or in a state, with its reason.
_PLAIN = st.fixed_dictionaries(
    {"status": _WORDS}, optional={"reason": st.none() | _TEXTS, "reason_code": st.none() | _CODES}
)
_IN_A_STATE = st.fixed_dictionaries(
    {"status": _WORDS}, optional={"reason": st.none() | _TEXTS, "reasonCode": st.none() | _CODES}
).map(lambda state: {"state": state})

_OPTIONAL: dict[str, SearchStrategy[Any]] = {
    "backend": _TEXTS,
    "program": st.fixed_dictionaries({"id": _TEXTS}),
    "params": _PARAMS | _PARAMS.map(lambda params: [params]),
    "created": _TIMES,
    "started": _TIMES,
    "ended": _TIMES,
    "image": _TEXTS,
    "hub": _TEXTS,
    "group": _TEXTS,
    "project": _TEXTS,
    "position": st.integers(1, 1000),
    "tags": st.lists(_TEXTS, max_size=3),
    "unheard of": _PARAMS,
}


@st.composite
def job_documents(draw: st.DrawFn) -> Json:
    """A job as a service describes it, such as `read_job` takes: a JSON object.

    The status stands beside the id or in a ``state``; keys are left out, are null, or are such as
    nobody knows.
    """
    optional = {key: st.none() | value for key, value in _OPTIONAL.items()}
    document = draw(st.fixed_dictionaries({"id": _WORDS}, optional=optional))
    return document | draw(_PLAIN | _IN_A_STATE)


@st.composite
def broken_job_documents(draw: st.DrawFn) -> object:
    """Something in the place of a job that is none: `read_job` refuses it by a `DecodeError`.

    A key is missing that has to be there, a value is of another type, or it is no object at all.
    """
    document = draw(job_documents())
    match draw(st.sampled_from(["no id", "no status", "another type", "no object"])):
        case "no id":
            return {key: value for key, value in document.items() if key != "id"}
        case "no status":
            return {key: document[key] for key in document.keys() - {"status", "state"}}
        case "another type":
            key = draw(st.sampled_from(["id", "backend", "program", "params", "tags", "position"]))
            return document | {key: draw(_WRONG[key])}
        case _:
            return draw(st.none() | _TEXTS | st.integers() | st.lists(st.just(document)))


_WRONG: dict[str, SearchStrategy[Any]] = {
    "id": st.integers() | st.lists(_TEXTS),
    "backend": st.integers() | st.booleans(),
    "program": st.integers() | st.lists(_TEXTS),
    "params": st.integers() | _TEXTS | st.lists(_PARAMS, min_size=2, max_size=3),
    "tags": st.integers() | st.lists(st.integers(), min_size=1, max_size=2),
    "position": st.text(max_size=3) | st.just(0.5),
}

# ---- values ------------------------------------------------------------------------------------

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | _TEXTS
    | st.complex_numbers(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-3.5))))
)


def result_values() -> SearchStrategy[Any]:
    """A value that tagged JSON brings back as it is, as results and interim results may be.

    Falsy ones are among them, and dicts that look like tags.
    """
    keys = st.sampled_from(["__type__", "__value__"]) | _TEXTS
    return st.recursive(
        _SCALARS | st.sets(_SCALARS, max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


def encoded_results() -> SearchStrategy[tuple[Any, str]]:
    """A value and its text in tagged JSON: what went in, and what travels."""
    return result_values().map(lambda value: (value, encode_tagged(value)))
