"""The core alone, with httpx as the client: it follows a task of Acme (embed_sdk/README.md)."""

import time

import httpx

import runtime_core as rc

WORDS = {"SUBMITTED": rc.JobQueued, "SCHEDULED": rc.JobQueued, "EXECUTING": rc.JobStarted}
WORDS["SUCCEEDED"] = rc.JobSucceeded


def perform(http: httpx.Client, path: str, command: rc.RequestCommand) -> rc.ReplyEvent:
    """Do one request; whatever comes of it is the one event that answers the command."""
    number, method = command.request, "DELETE" if isinstance(command, rc.SendCancel) else "GET"
    url = f"{path}/output" if isinstance(command, rc.FetchResult) else path
    try:
        answer = http.request(method, url)
        said = answer.json() if answer.status_code in (200, 422) else None  # else it is a proxy's
    except (httpx.TransportError, ValueError) as error:  # no answer, or one that is not Acme's
        failure = rc.TransportError(f"{path}: {error}")
        return rc.RequestFailed(number, failure, isinstance(error, httpx.TransportError))
    failure = rc.TransportError(f"{path}: {answer} {said!r:.99}", answer.status_code)
    match command, said:
        case rc.SendCancel(), {"error": {"code": "TASK_OVER"}}:
            return rc.CancelRefused(number)
        case rc.SendCancel(), {"state": _}:
            return rc.CancelAccepted(number)
        case rc.FetchResult(), _ if answer.status_code == 200:
            return rc.ResultReceived(number, answer.text)
        case _, {"failure": {"code": "BY_OWNER"}}:
            return rc.JobCancelled(number)
        case _, {"failure": {"text": reason, "code": code}}:
            return rc.JobFailed(number, reason, code)
        case _, {"state": str(word)}:
            return WORDS[word](number) if word in WORDS else rc.UnknownStatusReported(word, number)
        case _, {"error": {"wait_ms": wait}}:  # only what passes says when
            return rc.RequestFailed(number, failure, True, wait / 1000)
    wait, passes = answer.headers.get("Retry-After", ""), answer.status_code in (429, 502, 503, 504)
    return rc.RequestFailed(number, failure, passes, float(wait) if wait.isdigit() else None)


def follow(http: httpx.Client, task_id: str, timeout: float) -> rc.JobMachine:
    """Wait for the end of a task; it is aborted after `timeout` seconds, and has as long again."""
    machine, deadline, is_late = rc.JobMachine(task_id), time.monotonic() + timeout, False
    due, fired = deadline, rc.TimerFired(rc.TimerName.POLL, 0)
    todo = [*machine.receive(rc.WaitStarted(1, rc.Need.RESULT))]
    while True:
        match todo.pop(0) if todo else None:
            case rc.StartTimer(name, number, delay):
                due, fired = time.monotonic() + delay, rc.TimerFired(name, number)
            case rc.FetchStatus() | rc.FetchResult() | rc.SendCancel() as command:
                todo += machine.receive(perform(http, f"/tasks/{task_id}", command))
            case rc.EndWait(1, error):
                if error is not None:
                    raise error
                return machine
            case None:
                time.sleep(max(0.0, min(due, deadline) - time.monotonic()))
                if due <= deadline:
                    todo += machine.receive(fired)
                elif is_late or machine.state.is_final:
                    raise rc.JobTimeoutError(task_id, "its end", timeout, machine.state)
                else:
                    is_late, deadline = True, deadline + timeout
                    todo += machine.receive(rc.CancelRequested(2))
