"""Every test of `test_channel` once more, with jobs for asyncio."""

from async_threads import jobs_for_asyncio  # noqa: F401 - its fixture
from test_channel import *  # noqa: F403
