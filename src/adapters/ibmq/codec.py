"""The original's JSON encoder and decoder, for ``json.dumps(x, cls=RuntimeEncoder)``."""

from __future__ import annotations

import json
from typing import Any

from adapters.ibmq.errors import translating
from runtime_core.tagged_json import load_tagged
from runtime_core.tagged_json_encoder import encode_tagged


class RuntimeEncoder(json.JSONEncoder):
    """Writes tagged JSON. What tagged JSON has no word for is an error, never a silent null."""

    def default(self, o: Any) -> Any:
        """Give what stands for a value that JSON has no word for.

        Raises:
            IBMQInputValueError: if tagged JSON has none either.
        """
        return json.loads(translating(encode_tagged)(o))


class RuntimeDecoder(json.JSONDecoder):
    """Reads tagged JSON. No name in it is ever imported, whatever the text says."""

    def decode(self, s: str, _w: Any = None) -> Any:
        """Decode one text.

        Raises:
            json.JSONDecodeError: if it is no JSON.
            IBMQError: if it is beyond a limit, or a tagged value in it is malformed.
        """
        return translating(load_tagged)(s)
