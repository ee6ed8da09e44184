"""Who writes: a model in this process, or one behind a server that speaks chat completions. Both stream what they write.

Of either, `context` is how many tokens prompt and text may take together, None where that is not known. The `source` of `write`
is what decoding is grounded in, "" where it is free; a server cannot ground. `thoughts` are tokens for what a model thinks first, 0
where it is not asked to.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data_prep.cards.parse import decode
from data_prep.chat.endpoint import NO_KEY, Endpoint, api_key, check_endpoint, is_loopback
from data_prep.chat.replies import REFUSED, split_thinking
from data_prep.core.dtype import fast_dtype
from data_prep.core.manifest import content_hash
from data_prep.core.text import first_line
from data_prep.prompts.chat_format import chat_format
from data_prep.prompts.student import fitted, render
from eval.decoding.loops import finished
from eval.decoding.sampling import Decoding
from eval.decoding.thoughts import Budget
from eval.generation.requests import GenerationRequest, PromptPrefix
from eval.summarizing.request import NoNetwork
from eval.summarizing.shipped_model import merged

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

    from eval.decoding.grounded import Row
    from eval.generation.local_model import LocalModel

Show = Callable[[str], None]  # takes all that has been said so far, thoughts and all
CONNECT_S = 15
SILENCE_S = 600  # a long prompt on a slow server: minutes until its first word


@dataclass(frozen=True)
class Written:
    """A finished text. `finish_reason` is "stop", "length" where the token limit cut it, or "loop" where it ran in one, which
    the text has once, or "thought" where it thought without an end; `first_s` are seconds to its first word; `interventions` are those of grounded decoding, by kind."""

    text: str
    thinking: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    first_s: float
    total_s: float
    interventions: dict[str, int] = field(default_factory=dict)


# --- in this process --------------------------------------------------------------------------------------------------


class LocalWriter:
    """A folder or a Hub id, with an adapter or as it is. Tokenizer and template are read at once, the weights by `load`.

    Raises ValueError where there is no such model, NoNetwork where the Hub does not answer.
    """

    def __init__(self, place: str, dtype: str, device: str, adapter: Path | None = None) -> None:
        from transformers.utils import logging

        from eval.decoding.pieces import Pieces
        from eval.generation.local_model import open_model
        from eval.generation.transformers_backend import device_of

        self._device = device_of(device, 0)
        _refuse_device(device, self._device)
        logging.set_verbosity_error()  # a reader of summaries is not the one to tell of generation flags
        if os.path.isdir(place):  # a download of gigabytes keeps its bar
            logging.disable_progress_bar()
        with _in_our_words(place):
            self._model = open_model(place, None)
        self.name, self.tokenizer, self.context = place, self._model.tokenizer, self._model.context
        self._dtype = dtype if dtype != "auto" else fast_dtype(self._device)
        self._adapter = adapter
        self.identity: dict[str, Any] = {"model": self._model.identity, "dtype": self._dtype}
        if adapter:
            self.identity["adapter"] = content_hash(adapter)
        self._ends = self.tokenizer.convert_ids_to_tokens(list(self._model.end_ids))
        self._pieces = Pieces(self.tokenizer)
        self._weights: Any = None

    def load(self) -> float:
        """Seconds that it took to load the weights; 0 where they are here already."""
        started = time.monotonic()
        if self._weights is None:
            with _in_our_words(self.name):
                try:
                    self._weights = self._loaded().to(self._device).eval()
                except RuntimeError as error:
                    raise ValueError(
                        f"{self.name} does not go onto {self._device}: {first_line(error, 200)}; name another --device"
                    ) from None
        return time.monotonic() - started

    def _loaded(self) -> Any:
        from eval.generation.transformers_backend import load_weights

        if not self._adapter:
            return load_weights(self._model, self._dtype)
        import torch

        # Merged before it is rounded: the sum in bfloat16 would lose the adapter's last digits.
        return merged(load_weights(self._model, "float32"), self._adapter).to(getattr(torch, self._dtype))

    def write(
        self,
        messages: list[dict[str, str]],
        decoding: Decoding,
        max_new_tokens: int,
        seed: int,
        show: Show,
        source: str = "",
        thoughts: int = 0,
    ) -> Written:
        from transformers import TextIteratorStreamer

        from eval.generation.held import DecodingControl
        from eval.generation.local_model import summary

        self.load()
        started, first = time.monotonic(), 0.0
        opening = PromptPrefix("", messages, render(messages, self.tokenizer, thoughts > 0), source=source)
        budget = Budget(max_new_tokens, thoughts)
        encoded = self.tokenizer(opening.text, return_tensors="pt", add_special_tokens=False).to(self._device)
        # Special tokens stay visible, as in evaluation: a summary that spells one is faulty and must look it.
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=False)
        said, length = opening.said, encoded["input_ids"].shape[1]
        outcome = _Outcome()
        held = DecodingControl(self._model, decoding, [opening], [seed], length, self._pieces, budget, [outcome.stops])
        options = {"streamer": streamer, **held.options}
        with _generating(self._weights, self._model, encoded, options, held.rows[0], outcome):
            for piece in streamer:
                first = first or (time.monotonic() - started if piece else 0.0)
                said += piece
                show(self._without_end(said))
        if outcome.error is not None:
            raise _explained(outcome.error, self.name)
        [ids], [row] = held.new_tokens(outcome.output), held.rows
        made = summary(self._model, GenerationRequest(opening, decoding, ""), self.name, ids, length, row, thinks=thoughts > 0)
        total = time.monotonic() - started
        return Written(
            made.text, made.thinking, made.finish_reason, length, made.completion_tokens, first, total, made.interventions
        )

    def _without_end(self, said: str) -> str:
        return next((said.removesuffix(end) for end in self._ends if said.endswith(end)), said)


@dataclass
class _Outcome:
    output: Any = None
    error: Exception | None = None
    left: threading.Event = field(default_factory=threading.Event)

    def stops(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """A stopping criterion: whether the block was left early."""
        import torch

        return torch.full((1,), self.left.is_set(), device=input_ids.device)


@contextmanager
def _generating(
    weights: Any, model: LocalModel, encoded: Any, options: dict[str, Any], row: Row | None, outcome: _Outcome
) -> Iterator[None]:
    """Generation in a thread of its own, which ends with the block: at once where the block is left early."""
    import torch

    from eval.decoding.forgetful import forgetful_options
    from eval.decoding.kv_cache import cpu_options
    from eval.decoding.prompt_lookup import lookup_options

    options = forgetful_options(options | cpu_options(weights), [row])

    def generate() -> None:
        if outcome.left.is_set():
            return
        try:
            with torch.inference_mode():
                outcome.output = weights.generate(
                    **encoded,
                    **lookup_options(weights, options, row),
                    eos_token_id=list(model.end_ids),
                    pad_token_id=model.tokenizer.pad_token_id,
                )
        except Exception as error:  # told by the thread that reads, which would wait for ever
            outcome.error = error
            options["streamer"].end()

    thread = threading.Thread(target=generate, name="generate", daemon=True)
    try:
        thread.start()  # where an interrupt may come as well
        yield
    finally:
        outcome.left.set()
        if thread.is_alive():
            thread.join()


def _explained(error: Exception, name: str) -> Exception:
    if "out of memory" in str(error).lower():
        return ValueError(
            f"{name} and the prompt do not fit into memory; lower --max-prompt-tokens, or serve it and pass --endpoint"
        )
    return error


@contextmanager
def _in_our_words(place: str) -> Iterator[None]:
    """What loading a model says speaks of recipes; and whether a Hub that is away is to blame, it does not tell."""
    if not os.path.isdir(place):
        _offline_where_the_hub_is_away(place)
    try:
        yield
    except ValueError as error:
        fact = str(error).partition("; ")[0]
        if not os.path.isdir(place) and (trouble := _hub_trouble(place)):
            raise trouble from None
        raise ValueError(
            f"{fact}; --model takes a folder with a model, a Hub id, or with --endpoint the server's name for it"
        ) from None


def _refuse_device(asked: str, device: str) -> None:
    """Raises ValueError where nothing can be computed on `device`."""
    import torch

    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"--device {asked[:80]} is not to be had here ({first_line(error, 200)}); auto takes a GPU where there is one, else the CPU"
        ) from None


def _offline_where_the_hub_is_away(place: str) -> None:
    """Asks the Hub once, so that a model in the cache opens at once without it and another is told at once to be missing: the
    library would try each file six times, and tell of each try."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    try:
        get_hf_file_metadata(hf_hub_url(place, "config.json"), timeout=CONNECT_S)
    except (HTTPError, OfflineModeIsEnabled) as error:
        if not isinstance(error, HfHubHTTPError) or error.response.status_code >= 500:
            constants.HF_HUB_OFFLINE = True
    except HFValidationError:  # told when it is opened
        return


def _hub_trouble(place: str) -> ValueError | None:
    """Why the Hub does not hand out the model `place`, where that is known."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        hf_hub_download(place, "config.json")
    except GatedRepoError:
        return ValueError(f"the model {place} is gated on the Hub; accept its terms there and set HF_TOKEN")
    except RepositoryNotFoundError:
        return ValueError(f"the model {place} is not on the Hub, or private, and no folder; check --model, or set HF_TOKEN")
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        return NoNetwork(
            f"the model {place} is not on this machine and the Hub does not answer; check the network or HF_ENDPOINT"
        )
    except (EntryNotFoundError, HFValidationError):
        return None
    except HTTPError as error:
        return NoNetwork(f"the Hub does not hand out the model {place} ({first_line(error, 200)}); wait and run again")
    return None


# --- behind a server --------------------------------------------------------------------------------------------------


@dataclass
class _Said:
    """What has come so far of a server's answer; `pieces` of text, each a token with most servers."""

    text: str = ""
    thoughts: str = ""
    reason: str = ""
    usage: Any = None
    pieces: int = 0
    first_s: float = 0.0

    def add(self, chunk: Any, started: float) -> bool:
        """Whether the text has grown."""
        before, self.usage = self.pieces, chunk.usage or self.usage
        for choice in chunk.choices[:1]:
            delta = choice.delta
            self.thoughts += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
            self.reason = choice.finish_reason or self.reason
            if delta.content:
                self.first_s = self.first_s or time.monotonic() - started
                self.text, self.pieces = self.text + delta.content, self.pieces + 1
        return self.pieces > before


class ServedWriter:
    """A model behind `base_url`. The prompt is built and counted with the tokenizer `tokenizer_place`, a folder or Hub id.

    Raises ValueError where address, key or tokenizer are wrong, NoNetwork where nobody answers.
    """

    def __init__(self, name: str, base_url: str, tokenizer_place: str) -> None:
        import httpx2
        from openai import DefaultHttpxClient, OpenAI

        from eval.generation.local_model import open_model

        endpoint = Endpoint(model=name, base_url=base_url)
        check_endpoint(endpoint)
        self.name, self._url, self._key = name, base_url, api_key(endpoint)
        self._key_name = endpoint.api_key_env
        self._client = OpenAI(
            base_url=base_url,
            api_key=self._key,
            max_retries=2,
            timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
            http_client=DefaultHttpxClient(trust_env=not is_loopback(base_url)),  # as in data_prep.chat.client
        )
        served = self._served_context()
        try:
            with _in_our_words(tokenizer_place):
                model = open_model(tokenizer_place, None)
        except NoNetwork as error:
            raise NoNetwork(f"{error}; the prompt needs a tokenizer, --tokenizer names a folder or Hub id") from None
        except ValueError as error:
            fact = str(error).partition("; ")[0]
            raise ValueError(
                f"{fact}; the prompt needs its tokenizer, name it with --tokenizer HuggingFaceTB/SmolLM3-3B"
            ) from None
        self.tokenizer = model.tokenizer
        self.context = min(filter(None, (served, model.context)), default=None)
        self.identity = {"model": name, "endpoint": base_url, "tokenizer": model.identity}

    def _served_context(self) -> int | None:
        """What the server says that the model takes (vLLM does), None where it does not say. Also the first word with it."""
        from openai import APIConnectionError, AuthenticationError, OpenAIError

        try:
            listed = self._client.with_options(max_retries=0).models.list().data or []
        except (APIConnectionError, AuthenticationError) as error:
            raise self._trouble(error) from None
        except (OpenAIError, ValueError, AttributeError):  # a server need not list its models
            return None
        limit = next((getattr(model, "max_model_len", None) for model in listed if model.id == self.name), None)
        return limit if isinstance(limit, int) else None

    def load(self) -> float:
        return 0.0

    def write(
        self,
        messages: list[dict[str, str]],
        decoding: Decoding,
        max_new_tokens: int,
        seed: int,
        show: Show,
        source: str = "",
        thoughts: int = 0,
    ) -> Written:
        from openai import OpenAIError

        started, said = time.monotonic(), _Said()
        try:
            with self._stream(messages, decoding, Budget(max_new_tokens, thoughts), seed) as stream:
                for chunk in stream:
                    if said.add(chunk, started):
                        show(said.text)
        except OpenAIError as error:
            raise self._trouble(error, began=bool(said.pieces)) from None
        except (ValueError, AttributeError, TypeError) as error:  # what came is no stream of completions
            raise ValueError(
                f"{self._url} sent no chat completion ({first_line(error, 200)}); --endpoint mostly ends in /v1"
            ) from None
        if not said.reason and not said.text:
            raise ValueError(f"{self._url} sent no chat completion; check --endpoint, which mostly ends in /v1")
        if not said.reason:
            raise NoNetwork(f"{self._url} broke off in the middle of its answer; run again")
        if said.reason in REFUSED:
            raise ValueError(f"{self._url} refused to go on ({said.reason}); choose another model or server for this card")
        text, thinking = split_thinking(decode(said.text))
        text, reason = finished(text, cut=said.reason == "length")
        if thoughts and not text and reason == "length":
            reason = "thought"
        thought = "\n".join(part.strip() for part in (said.thoughts, thinking) if part.strip())
        read = said.usage.prompt_tokens if said.usage else 0
        made = said.usage.completion_tokens if said.usage else said.pieces
        return Written(text, thought, reason, read, made, said.first_s, total_s=time.monotonic() - started)

    def _stream(self, messages: list[dict[str, str]], decoding: Decoding, budget: Budget, seed: int) -> Any:
        chat = chat_format(self.tokenizer, budget.thoughts > 0)
        return self._client.chat.completions.create(
            model=self.name,
            messages=cast("list[ChatCompletionMessageParam]", fitted(messages, chat)),  # the same: openai types each role apart
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=budget.total,
            seed=seed,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"chat_template_kwargs": chat.kwargs} if chat.kwargs else None,
        )

    def _trouble(self, error: Exception, began: bool = False) -> ValueError:
        from openai import APIConnectionError, APIStatusError

        said = first_line(error, 200)
        if self._key != NO_KEY:
            said = said.replace(self._key, "[key]")  # some servers repeat it
        if isinstance(error, APIStatusError):
            status = error.status_code
            if status in (401, 403):
                return ValueError(f"{self._url} refuses the key (HTTP {status}); set the variable {self._key_name}")
            if status == 404:
                return ValueError(
                    f"{self._url} knows no such path or no model {self.name!r} (HTTP 404); correct --model, or --endpoint, which mostly ends in /v1"
                )
            if status >= 500 or status == 429:
                return NoNetwork(f"{self._url} is busy or broken (HTTP {status}: {said}); wait and run again")
            return ValueError(
                f"{self._url} refuses (HTTP {status}: {said}); if the prompt is too long for it, lower --max-prompt-tokens"
            )
        if isinstance(error, APIConnectionError):
            if began:
                return NoNetwork(f"{self._url} broke off in the middle of its answer ({said}); run again")
            return NoNetwork(f"{self._url} cannot be reached ({said}); start the server, or correct --endpoint")
        return ValueError(f"{self._url} sent no chat completion ({said}); --endpoint mostly ends in /v1")


Writer = LocalWriter | ServedWriter
