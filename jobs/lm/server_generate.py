"""Answers of a server to many prompts, behind the interface of `generate`."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from jobs.lm.generation import Answer, Generation
from jobs.lm.sampling import Sampling
from jobs.lm.server import Server
from jobs.lm.server_requests import Requests, Wish
from sftjobs.errors import DataError, SftError
from sftjobs.program import Stopped

_LOOK_S = 0.2
"""Seconds between looks at the server's process and at requests to stop."""

_SAY_S = 1.0
"""Seconds between words about waiting."""

REFUSED = "a server of its own makes the answers"


def generate_by_server(
    server: Server,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    room: Sequence[int],
    sampling: Sampling | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_wait: Callable[[float], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generation:
    """Answer prompt i with at most `room[i]` tokens; see `generate` and, for `room`, `context_room`.

    `on_wait` gets the seconds waited for the server to start. Raises Stopped if `stop_requested` says so, DataError if
    the server does not start or refuses, SftError if it fails on the way.
    """
    started = time.monotonic()
    work = _Work(server, prompts, room, on_progress, on_wait, stop_requested)
    asyncio.run(work.run(tokenizer, Wish(sampling or Sampling(), stop_ids)))
    return Generation(
        answers=[work.answers[index] for index in range(len(prompts))],
        prefix_tokens=0,
        refused=REFUSED,
        prompt_tokens=sum(map(len, prompts)),
        new_tokens=work.new_tokens,
        seconds=time.monotonic() - started,
        beyond_context=sum(limit < max(room) for limit in room),
    )


class _Work:
    """The prompts, and what is known of their answers so far."""

    def __init__(
        self,
        server: Server,
        prompts: Sequence[Sequence[int]],
        room: Sequence[int],
        on_progress: Callable[[int], None] | None,
        on_wait: Callable[[float], None] | None,
        stop_requested: Callable[[], bool],
    ) -> None:
        self._server, self._prompts, self._room = server, prompts, room
        self._on_progress, self._on_wait, self._stop_requested = on_progress, on_wait, stop_requested
        self.answers = {index: Answer([], False) for index, limit in enumerate(room) if limit <= 0}
        self.new_tokens = 0
        self._ready = False

    async def run(self, tokenizer: PreTrainedTokenizerBase, wish: Wish) -> None:
        todo = [index for index in range(len(self._prompts)) if index not in self.answers]
        if not todo:
            return
        async with Requests(self._server, tokenizer, wish) as requests:
            # The shortest: one that certainly fits into the context that the server was given.
            await self._start(requests, min((self._prompts[index] for index in todo), key=len))
            # The longest first: what does not fit into memory fails at once.
            todo.sort(key=lambda index: -len(self._prompts[index]))
            await self._watched(self._all(requests, todo))

    async def _start(self, requests: Requests, prompt: Sequence[int]) -> None:
        spec, started, last = self._server.spec, time.monotonic(), [0.0]

        def look() -> None:
            waited = time.monotonic() - started
            if self._on_wait is not None and waited - last[0] >= _SAY_S:
                last[0] = waited
                self._on_wait(waited)
            if waited > spec.start_s:
                raise DataError(
                    f"eval.engine: the server did not answer within {spec.start_s} s (start_s); the last that it said: "
                    f"{requests.last}. Give it more time, or see below what keeps it.\n{self._server.tail()}"
                )

        await self._watched(requests.wait(prompt), look)
        self._ready = True

    async def _all(self, requests: Requests, todo: Sequence[int]) -> None:
        slots = asyncio.Semaphore(self._server.spec.concurrency)

        async def one(index: int) -> None:
            async with slots:
                answer, used = await requests.answer(index, self._prompts[index], self._room[index])
            self.answers[index] = answer
            self.new_tokens += used
            if self._on_progress is not None:
                self._on_progress(len(self.answers))

        async with asyncio.TaskGroup() as group:
            for index in todo:
                group.create_task(one(index))

    async def _watched(self, work: Coroutine[Any, Any, None], look: Callable[[], None] = lambda: None) -> None:
        """Do `work`, unless the server ends or somebody asks to stop before it is done."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                code = self._server.ended()
                if code is not None:
                    raise self._death(code)
                if self._stop_requested():
                    raise Stopped(f"{len(self.answers)} of {len(self._prompts)} answers were generated")
                look()
        finally:
            task.cancel()
            await asyncio.wait({task})
        failure = task.exception()
        # The first of a group of requests that failed together stands for all.
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if failure is not None:
            code = self._server.ended()
            raise failure if code is None else self._death(code) from failure

    def _death(self, code: int) -> SftError:
        """Before it answered anything, the command is at fault; later, trying again may help."""
        kind = SftError if self._ready else DataError
        when = f"after {len(self.answers)} of {len(self._prompts)} answers" if self._ready else "before it answered"
        return kind(f"eval.engine: the server ended {when}, exit code {code}.\n{self._server.tail()}")
