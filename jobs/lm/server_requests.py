"""Completions of an OpenAI-compatible server for prompts that are already rendered.

The server must see the tokens of the renderer, so `/v1/completions` gets token ids, which vLLM and llama.cpp take as
they are; never a chat template of the server's own. A server that takes only text gets the text of these tokens, and
every answer has to say that it counted as many: a second beginning-of-text token would not go unseen.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import Completion
from transformers import PreTrainedTokenizerBase

from jobs.lm.generation import Answer
from jobs.lm.sampling import Sampling
from jobs.lm.server import Server
from sftjobs.errors import DataError, SftError

RETRIES = 5
"""Of one request, after a lost connection, 429 or 5xx; the client waits 0.5 to 8 s before each."""
_NOT_YET = frozenset({404, 408, 425, 429, 500, 502, 503, 504})
"""What servers answer while they load a model."""
_FORMS = (("ids", True), ("ids", False), ("text", True), ("text", False))
"""Prompt as token ids or text, with or without the fields that OpenAI's interface lacks; the first accepted is used."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the server."""

    sampling: Sampling
    stop_ids: Sequence[int]


class Requests:
    """Asks one server."""

    def __init__(self, server: Server, tokenizer: PreTrainedTokenizerBase, wish: Wish) -> None:
        self._server, self._tokenizer, self._wish = server, tokenizer, wish
        self._form = _FORMS[0]
        self._model = str(server.model)
        self.last = "nothing"
        """What the server answered last while it was waited for."""
        # Proxies of the environment are for the world outside, not for 127.0.0.1.
        self._client = AsyncOpenAI(
            base_url=server.url,
            api_key="none",
            max_retries=RETRIES,
            http_client=DefaultAsyncHttpxClient(trust_env=False, timeout=600),
        )

    async def __aenter__(self) -> "Requests":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def wait(self, prompt: Sequence[int]) -> None:
        """Until the server has answered `prompt` with one token. Raises DataError if it refuses."""
        patient = self._client.with_options(max_retries=0)
        names: list[str] = []
        while True:
            # Some servers cannot list what they serve, but serve it.
            with contextlib.suppress(APIConnectionError, APIStatusError):
                names = names or [model.id async for model in patient.models.list()]
            self._model = _name(names, self._server)
            refusals: list[str] = []
            for self._form in _FORMS:
                try:
                    completion = await self._ask(patient, 0, prompt, 1)
                except APIConnectionError as error:
                    self.last = str(error)
                    break
                except APIStatusError as error:
                    self.last = _said(error)
                    if error.status_code in _NOT_YET and not (error.status_code == 404 and names):
                        break
                    refusals.append(_said(error))
                else:
                    self._checked(completion, prompt)
                    return
            else:
                # The same refusal in every form is said once.
                raise DataError(
                    f"eval.engine: the server refused a prompt of {len(prompt)} tokens for model {self._model!r}: "
                    f"{'; '.join(dict.fromkeys(refusals))}. Models that it serves: {', '.join(names) or 'not known'}. "
                    f"It has to answer POST /v1/completions.\n{self._server.tail()}"
                )
            await asyncio.sleep(0.2)

    async def answer(self, index: int, prompt: Sequence[int], limit: int) -> tuple[Answer, int]:
        """The answer to prompt number `index`, and how many tokens were generated for it.

        Raises DataError if the server refuses, SftError if it fails after `RETRIES` tries more.
        """
        try:
            completion = await self._ask(self._client, index, prompt, limit)
        except APIStatusError as error:
            message = f"eval.engine: the server answered prompt {index} ({len(prompt)} tokens) with {_said(error)}"
            kind = DataError if error.status_code < 500 and error.status_code not in _NOT_YET else SftError
            raise kind(f"{message}.\n{self._server.tail()}") from error
        except (APIConnectionError, APITimeoutError) as error:
            raise SftError(
                f"eval.engine: the connection to the server was lost at prompt {index}: {error}.\n{self._server.tail()}"
            ) from error
        self._checked(completion, prompt)
        choice = completion.choices[0]
        if choice.finish_reason not in {"stop", "length"}:
            raise SftError(f"eval.engine: the server ended answer {index} for the reason {choice.finish_reason!r}")
        text, stopped = self._cut(choice.text)
        ended = stopped or choice.finish_reason == "stop"
        used = completion.usage.completion_tokens if completion.usage else 0
        return Answer([], ended, text), used

    async def _ask(self, client: AsyncOpenAI, index: int, prompt: Sequence[int], limit: int) -> Completion:
        kind, with_more = self._form
        sampling = self._wish.sampling
        more: dict[str, Any] = {
            # Defaults of a server or of the model's generation_config.json would change what is drawn.
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop_token_ids": list(self._wish.stop_ids),
        }
        return await client.completions.create(
            model=self._model,
            prompt=list(prompt) if kind == "ids" else self._text(prompt),
            max_tokens=limit,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            # Another seed for each prompt, or equal prompts would have equal answers.
            seed=(sampling.seed * 1_000_003 + index) % (1 << 31),
            extra_body=more if with_more else None,
        )

    def _text(self, prompt: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(prompt), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _checked(self, completion: Completion, prompt: Sequence[int]) -> None:
        """The server has to have seen the tokens of the prompt, no more and no fewer."""
        if completion.usage is None:
            if self._form[0] == "text":
                raise DataError("eval.engine: the server says no `usage`, so nobody can tell which tokens it saw")
            return
        seen = completion.usage.prompt_tokens
        if seen != len(prompt):
            raise DataError(
                f"eval.engine: the server saw {seen} tokens where the prompt has {len(prompt)}: it adds special tokens "
                "or reads them as text; use a server that takes token ids in /v1/completions"
            )

    def _cut(self, text: str) -> tuple[str, bool]:
        """The text before a token that ends an answer, should the server have written it out."""
        ends = [str(self._tokenizer.convert_ids_to_tokens(token)) for token in self._wish.stop_ids]
        places = [place for end in ends if end and (place := text.find(end)) >= 0]
        return (text[: min(places)], True) if places else (text, False)


def _name(names: Sequence[str], server: Server) -> str:
    """What the server calls the model. A server with one model is taken at its word."""
    wanted = str(server.model)
    return names[0] if len(names) == 1 and wanted not in names else wanted


def _said(error: APIStatusError) -> str:
    return f"{error.status_code}: {error.response.text.strip()[:500] or error.message}"
