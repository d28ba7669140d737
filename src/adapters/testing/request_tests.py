"""The rules about requests: their replies, their failures, cancelling, threads."""

from __future__ import annotations

from adapters.testing.subject import REPLIES, Subject, fail, require
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    RequestCommand,
    SendCancel,
)
from runtime_core.events import (
    CancelAccepted,
    CancelRefused,
    FailureReceived,
    JobCancelled,
    JobFailed,
    JobSucceeded,
    RequestFailed,
    ResultReceived,
    UnknownStatusReported,
)
from runtime_core.traits import ServiceTraits

_STRANGE_IDS = ("", "..", "../jobs", "a b", "a\r\nX-Injected: 1", "ä/ö?x=1#y", "x" * 10_000)


class RequestTests(Subject):
    """What holds for the requests of every transport."""

    # ---- replies -------------------------------------------------------------------------------

    def test_the_traits_are_data_and_stay_the_same(self) -> None:
        """`traits` gives `ServiceTraits`, equal ones each time."""
        first, second = self.transport.traits, self.transport.traits
        require(isinstance(first, ServiceTraits), f"traits gave {first!r}")
        require(first == second, f"traits gave {first!r}, then {second!r}")

    def test_every_reply_carries_the_number_of_its_request(self) -> None:
        """The `request` of a reply is that of the command, whatever came of it."""
        for job_id, command in self._requests():
            reply = self._ask(job_id, command)
            number = getattr(reply, "request", None)
            require(number == command.request, f"{command!r} was answered by {reply!r}")

    def test_every_reply_is_one_that_its_request_can_have(self) -> None:
        """Each command has its own replies; `RequestFailed` is one for all."""
        for job_id, command in self._requests():
            reply = self._ask(job_id, command)
            fits = isinstance(reply, (RequestFailed, *REPLIES[type(command)]))
            require(fits, f"{command!r} was answered by {reply!r}")

    def test_nothing_is_raised_whatever_the_id(self) -> None:
        """What goes wrong is a `RequestFailed`, for ids that no service gives as well."""
        for job_id in _STRANGE_IDS:
            for kind in (FetchStatus, FetchResult, FetchFailure, SendCancel):
                command = kind(next(self._numbers))
                try:
                    self._ask(job_id, command)
                except Exception as error:
                    fail(f"{command!r} of job {job_id[:40]!r} raised {error!r}", error)

    # ---- how a job goes ------------------------------------------------------------------------

    def test_a_job_that_succeeds_says_so(self) -> None:
        """The state is told until it is final, and then stays."""
        job_id, _ = self.job_that_succeeds()
        ending = self._ending(job_id)
        require(isinstance(ending, JobSucceeded), f"it ended with {ending!r}")
        again = self._perform(job_id, FetchStatus)
        require(isinstance(again, JobSucceeded), f"asked again, it said {again!r}")

    def test_the_result_is_the_text_that_the_service_has(self) -> None:
        """`FetchResult` gives the whole text, unchanged, and as often as it is asked for."""
        job_id, text = self.job_that_succeeds()
        self._ending(job_id)
        for _ in range(2):
            reply = self._perform(job_id, FetchResult)
            if not isinstance(reply, ResultReceived):
                fail(f"the result was answered by {reply!r}")
            require(reply.text == text, f"the result is {text!r}, not {reply.text!r}")

    def test_a_failed_job_says_why(self) -> None:
        """It ends with `JobFailed`; the reason is in there, or `FetchFailure` gives it."""
        job_id, part = self.job_that_fails()
        ending = self._ending(job_id)
        if not isinstance(ending, JobFailed):
            fail(f"it ended with {ending!r}")
        reason = ending.reason
        if reason is None:
            reply = self._perform(job_id, FetchFailure)
            if not isinstance(reply, FailureReceived):
                fail(f"the reason was answered by {reply!r}")
            reason = reply.reason
        require(part in (reason or ""), f"{part!r} is not in the reason, {reason!r}")

    def test_an_unknown_word_is_reported_as_it_is(self) -> None:
        """A state that is not known is `UnknownStatusReported`, never a guess or a failure."""
        job_id, word = self.job_with_unknown_word()
        reply = self._perform(job_id, FetchStatus)
        known = isinstance(reply, UnknownStatusReported) and reply.word == word
        require(known, f"the word {word!r} became {reply!r}")

    # ---- what fails ----------------------------------------------------------------------------

    def test_a_job_that_there_is_not_is_a_failure_for_good(self) -> None:
        """Asking again would not help, and the failure says so."""
        reply = self._perform(self.unknown_job, FetchStatus)
        if not isinstance(reply, RequestFailed):
            fail(f"it was answered by {reply!r}")
        require(not reply.retryable, f"it is retryable: {reply!r}")
        require(str(reply.error) != "", f"its error says nothing: {reply!r}")

    def test_a_service_that_is_away_may_come_back(self) -> None:
        """No connection is a failure that is retryable."""
        transport = self.unreachable_transport()
        try:
            reply = self._asked(transport, self.unknown_job, FetchStatus(7))
        finally:
            self._close(transport)
        retryable = isinstance(reply, RequestFailed) and reply.retryable
        require(retryable, f"it was answered by {reply!r}")

    def test_a_busy_service_is_asked_again_when_it_wants(self) -> None:
        """Too many requests is retryable, and carries the seconds that the service names."""
        job_id, seconds = self.job_of_busy_service()
        reply = self._perform(job_id, FetchStatus)
        if not isinstance(reply, RequestFailed):
            fail(f"it was answered by {reply!r}")
        require(reply.retryable, f"it is not retryable: {reply!r}")
        low, high = seconds if isinstance(seconds, tuple) else (seconds, seconds)
        after = reply.retry_after
        named = after == low if after is None or low is None else low <= after <= (high or 0.0)
        require(named, f"retry_after is not {seconds!r}: {reply!r}")

    def test_a_result_above_the_limit_is_refused_for_good(self) -> None:
        """There is a limit for a result, and one above it is a failure that is not retryable."""
        job_id = self.job_with_large_result()
        self._ending(job_id)
        reply = self._perform(job_id, FetchResult)
        refused = isinstance(reply, RequestFailed) and not reply.retryable
        told = repr(reply) if isinstance(reply, RequestFailed) else type(reply).__name__
        require(refused, f"it was answered by {told}")

    # ---- cancelling ----------------------------------------------------------------------------

    def test_a_cancel_is_accepted_and_the_service_ends_the_job(self) -> None:
        """`CancelAccepted` says that the wish arrived; the state follows from the service."""
        job_id = self.job_that_hangs()
        reply = self._perform(job_id, SendCancel)
        require(isinstance(reply, CancelAccepted), f"it was answered by {reply!r}")
        ending = self._ending(job_id)
        require(isinstance(ending, JobCancelled), f"the job ended with {ending!r}")

    def test_a_cancel_of_a_job_that_has_ended_is_refused(self) -> None:
        """It is `CancelRefused`, not a failure: the job is asked about again then."""
        job_id, _ = self.job_that_succeeds()
        self._ending(job_id)
        reply = self._perform(job_id, SendCancel)
        require(isinstance(reply, CancelRefused), f"it was answered by {reply!r}")

    # ---- threads, and the end ------------------------------------------------------------------

    def test_many_threads_may_use_it_at_once(self) -> None:
        """Each gets the reply to its own request."""
        job_id, _ = self.job_that_succeeds()
        self._ending(job_id)
        commands: list[RequestCommand] = [FetchStatus(n) for n in range(100, 116)]
        commands += [FetchResult(n) for n in range(116, 132)]
        replies = self._asked_at_once(job_id, commands)
        for command, reply in zip(commands, replies, strict=True):
            fits = isinstance(reply, REPLIES[type(command)]) and reply.request == command.request
            require(fits, f"{command!r} was answered by {reply!r}")

    def test_closing_it_leaves_no_thread(self) -> None:
        """When it is closed its threads end; closing it again does nothing."""
        job_id, _ = self.job_that_succeeds()
        self._ending(job_id)
        self._close(self.transport)
        self._close(self.transport)
        self._until_no_threads(self._threads)

    def test_it_fails_cleanly_when_it_is_closed(self) -> None:
        """A request of a closed transport is a `RequestFailed`, or is answered as before."""
        job_id, _ = self.job_that_succeeds()
        self._ending(job_id)
        self._close(self.transport)
        try:
            self._ask(job_id, FetchStatus(7))
        except Exception as error:
            fail(f"it raised {error!r}", error)
