"""A program whose inputs say what it does: ends well, fails, publishes, hangs."""

import time


def main(backend, user_messenger, publish=(), result=None, reason=None, seconds=0.0, size=0):
    for text in publish:
        user_messenger.publish(text)
    time.sleep(seconds)
    if reason is not None:
        raise RuntimeError(reason)
    return "x" * size or result
