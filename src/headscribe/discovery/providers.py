"""Language models behind a network (extra `llm`), through pydantic-ai.

Keys come from the environment alone (`ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `GOOGLE_API_KEY`, and
`HEADSCRIBE_API_KEY` for a compatible server that wants one) and are never written: what a server
says is searched for them before it is shown. The providers' own retries are off: the ledger's are
enough.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from headscribe.core.errors import RunError, UsageError
from headscribe.discovery.clients import Price, Reply, TransientError
from headscribe.discovery.neutral import neutral

KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "google": "GOOGLE_API_KEY",
    "compatible": "HEADSCRIBE_API_KEY",
}
"""The environment variable of each provider's key."""

_BUSY = {408, 409, 425, 500, 502, 503, 504, 529}


def provider_client(provider: str, model: str) -> "Provider":
    """The client of a provider's model.

    Args:
        provider: a key of `KEYS`.
        model: the model's name; for `compatible` `URL#MODEL`, such as
            `http://localhost:11434/v1#qwen3` (vLLM, Ollama, llama.cpp).

    Raises:
        UsageError: the extra is not installed, no key is set, or no URL is given.
    """
    try:
        import pydantic_ai.direct  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f'{provider} needs the extra: pip install "headscribe[llm]" ({error})'
        ) from error
    if provider != "compatible" and not os.environ.get(KEYS[provider]):
        raise UsageError(f"expected a key for {provider} in the environment: set {KEYS[provider]}")
    if provider == "compatible" and "@" in model.rpartition("#")[0]:
        raise UsageError(
            "expected a URL without a name or password, which would be written down: put the key "
            f"in the environment ({KEYS[provider]})"
        )
    if provider == "compatible" and not all(model.partition("#")):
        raise UsageError(f"expected compatible:URL#MODEL, got compatible:{model[:80]}")
    return Provider(provider, model)


@dataclass(frozen=True)
class Provider:
    """One model of one provider; answers one prompt a call, without a memory.

    Attributes:
        provider: a key of `KEYS`.
        model: the model's name, for `compatible` with the server before it.
        max_output_tokens: an answer is at most so long, its thinking included.
        seconds: a call takes at most so long.
    """

    provider: str
    model: str
    max_output_tokens: int = 16_000
    seconds: float = 600.0
    _calls: "dict[asyncio.Task[Any], asyncio.AbstractEventLoop]" = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """`anthropic:MODEL`."""
        return f"{self.provider}:{self.model}"

    @cached_property
    def price(self) -> Price | None:
        """What a million tokens cost at the highest tier; None where that is not known."""
        million = self._cost(1_000_000, 0), self._cost(0, 1_000_000)
        return None if million[0] is None or million[1] is None else Price(million[0], million[1])

    def ask(self, prompt: str) -> Reply:
        """Ask the model.

        Raises:
            TransientError: rate limits, servers that are busy or out of reach.
            RunError: anything else; no key is ever part of the message.
        """
        from pydantic_ai import exceptions

        try:
            return asyncio.run(self._ask(prompt))
        except exceptions.ModelHTTPError as error:
            said = self._without_key(str(error))
            if error.status_code == 429:
                raise TransientError("rate_limit", said, error.retry_after) from None
            if error.status_code in _BUSY:
                raise TransientError("server", said, error.retry_after) from None
            raise RunError(f"{self.name} refused: {said}") from None
        except exceptions.ModelConnectionError as error:
            raise TransientError("server", self._without_key(str(error))) from None
        except exceptions.AgentRunError as error:
            raise RunError(f"{self.name}: {self._without_key(str(error))}") from None
        except asyncio.CancelledError:
            raise RunError(f"{self.name}: interrupted before there was an answer") from None

    def stop(self) -> None:
        """Cancel the calls under way in other threads."""
        for task, loop in list(self._calls.items()):
            with suppress(RuntimeError):  # it has ended in the meantime
                loop.call_soon_threadsafe(task.cancel)

    async def _ask(self, prompt: str) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = asyncio.get_running_loop()
        try:
            return await self._answered(prompt)
        finally:
            del self._calls[task]

    async def _answered(self, prompt: str) -> Reply:
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import ModelRequest

        async with self._opened() as model:
            response = await model_request(
                model,
                [ModelRequest.user_text_prompt(prompt)],
                model_settings={"max_tokens": self.max_output_tokens, "timeout": self.seconds},
            )
        asked, answered = response.usage.input_tokens, response.usage.output_tokens
        return Reply(response.text or "", asked, answered, self._cost(asked, answered) or 0.0)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Any]:
        """The model on a client of its own, which is closed afterwards and never retries."""
        key = os.environ.get(KEYS[self.provider]) or "none"
        if self.provider == "anthropic":
            from anthropic import AsyncAnthropic
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            async with AsyncAnthropic(api_key=key, max_retries=0) as anthropic:
                own = AnthropicProvider(anthropic_client=anthropic)
                yield AnthropicModel(self.model, provider=own)
        elif self.provider == "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            yield GoogleModel(self.model, provider=GoogleProvider(api_key=key))
        else:
            from openai import AsyncOpenAI
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            url, _, name = self.model.rpartition("#")
            async with AsyncOpenAI(api_key=key, base_url=url or None, max_retries=0) as client:
                yield OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))

    def _cost(self, asked: int, answered: int) -> float | None:
        """Dollars for so many tokens, from the price list of genai-prices; None if not listed."""
        from genai_prices import Usage, calc_price

        if self.provider == "compatible":
            return None
        usage = Usage(input_tokens=asked, output_tokens=answered)
        try:
            return float(calc_price(usage, self.model, provider_id=self.provider).total_price)
        except LookupError:
            return None

    def _without_key(self, text: str) -> str:
        key = os.environ.get(KEYS[self.provider])
        return neutral(text.replace(key, "(key)") if key else text, 300)
