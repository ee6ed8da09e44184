"""What a person says about a model behind a server, and what a run has used of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, JsonValue

from data_prep.core.recipe import Block

NO_KEY = "none"  # local servers take any


class Endpoint(Block):
    """A model behind a server that speaks OpenAI's chat completions."""

    model: str
    """As the server names it."""
    base_url: str
    """Up to and with the version, for example http://localhost:8000/v1 ."""
    licence: str = ""
    """Of what the model writes, for example apache-2.0; a teacher needs it, since some models' terms forbid to train on it."""
    api_key_env: str = "OPENAI_API_KEY"
    """NAME of the environment variable that holds the key. Where it is not set, "none" is sent."""
    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_tokens: int = Field(default=1500, ge=1)
    """Of one answer, reasoning included."""
    concurrency: int = Field(default=32, ge=1)
    """Requests in flight."""
    timeout_s: float = Field(default=300, gt=0)
    """Seconds of silence from the server after which a request is tried again."""
    retries: int = Field(default=6, ge=0)
    """Of one request, with pauses that grow from 0.5 to 8 seconds or are as long as the server asks for."""
    extra_body: dict[str, JsonValue] = {}
    """Further fields of the request, for example {chat_template_kwargs: {enable_thinking: false}}."""
    price_in: float = Field(default=0.0, ge=0)
    """Per million tokens of prompt."""
    price_out: float = Field(default=0.0, ge=0)
    """Per million tokens of answer."""
    budget: float | None = None
    """In the currency of the prices. A run that has spent it sends nothing more; answers in flight by then come on top,
    cached ones are free."""
    max_requests: int | None = None
    """Of a run, retries included."""


class BudgetSpent(ValueError):
    """The run has spent or sent what it may."""


@dataclass
class Usage:
    """What a run has used so far; several calls of `ask_all` may share one, and so a budget."""

    requests: int = 0  # sent, retries included
    cached: int = 0  # answers that cost nothing
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    failures: int = 0  # questions without an answer
    last_failure: str = ""
    answered: int = 0  # questions with one, not counting the cached

    def count(self, endpoint: Endpoint, prompt_tokens: int, completion_tokens: int) -> None:
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.cost += (prompt_tokens * endpoint.price_in + completion_tokens * endpoint.price_out) / 1e6

    def check(self, endpoint: Endpoint) -> None:
        """Raises BudgetSpent where nothing more may be sent."""
        if endpoint.budget is not None and self.cost >= endpoint.budget:
            raise BudgetSpent(
                f"spent {self.cost:.4g} of a budget of {endpoint.budget:g}; answers are kept, raise budget and run again"
            )
        if endpoint.max_requests is not None and self.requests >= endpoint.max_requests:
            sent = f"sent {self.requests} requests of max_requests {endpoint.max_requests}"
            raise BudgetSpent(f"{sent}; answers are kept, raise it and run again")

    def failed(self, reason: str) -> None:
        self.failures, self.last_failure = self.failures + 1, reason

    def refuse_if_all_failed(self, stage: str) -> None:
        """Raises ValueError where no question got an answer: what follows would be made of nothing."""
        if self.failures and not self.cached and not self.answered:
            raise ValueError(f"{stage}: none of {self.failures} questions got an answer: {self.last_failure}")

    def line(self) -> str:
        return (
            f"{self.requests:,} requests sent, {self.cached:,} answers from the cache, {self.failures:,} questions failed; "
            f"{self.prompt_tokens:,} tokens in, {self.completion_tokens:,} out, cost {self.cost:.2f}"
        )


def api_key(endpoint: Endpoint) -> str:
    """The key of the environment. Raises ValueError, without the value, where name or key cannot be right."""
    name = endpoint.api_key_env
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError(
            "api_key_env is no variable's name (capitals, digits, _); name one, the key itself goes into no recipe"
        )
    key = os.environ.get(name, "").strip() or NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"the variable {name} holds characters that no key has; set it again")
    return key


def check_endpoint(endpoint: Endpoint) -> None:
    """Raises ValueError for what single fields cannot show."""
    parts = urlsplit(endpoint.base_url)
    try:
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        is_address = False
    if not is_address:
        raise ValueError(f"base_url is {endpoint.base_url!r}, expected http(s)://host[:port]/v1")
    if parts.username is not None:
        raise ValueError("base_url holds a user name; put the key into the variable that api_key_env names")
    if endpoint.budget is not None and not (endpoint.price_in or endpoint.price_out):
        raise ValueError(f"budget is {endpoint.budget:g} but price_in and price_out are 0; set them, or use max_requests")


def is_loopback(base_url: str) -> bool:
    """True where the server is on this machine. 0.0.0.0 is, too: people copy it from a server's first line."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
