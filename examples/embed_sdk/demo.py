"""Run tasks at a service of the vendor on this machine: `python examples/embed_sdk/demo.py`."""

from sdk import Acme
from server import AcmeServer

from runtime_core import RuntimeJobFailureError

with AcmeServer() as server, Acme(server.url, server.key) as acme:
    task = acme.submit("primes", {"below": 1_000_000})
    print(task.job_id(), task.result(timeout=60))

    task = acme.submit("solve", {"matrix": [[1, 2], [2, 4]], "right": [1, 1]})
    try:
        task.result(timeout=60)
    except RuntimeJobFailureError as error:
        print(error)

    task = acme.submit("ticks", {"count": 0})
    task.cancel()
    task.wait_for_final_state(timeout=60)
    print(task.job_id(), task.status().name, task.cancel_outcome())
