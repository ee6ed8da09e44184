"""What a recipe calls a system: a model, and how it is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from data_prep.chat.endpoint import Endpoint
from data_prep.core.recipe import Block

BASELINE = "baseline:"


class System(Block):
    """A recipe may give the model's name alone, which stands for {model: NAME}."""

    model: str = ""
    """A folder, a Hub id, or `baseline:lead|front_matter|extractive|reference`. `{run_dir}` stands for the run."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    backend: Literal["transformers", "vllm", "endpoint"] = "transformers"
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that share one model. vLLM's own key."""
    max_model_len: int | None = Field(None, ge=1)
    """Tokens of prompt and summary that room is kept for; without it as many as the model takes. vLLM's own key."""
    grounded: bool = False
    """Decode grounded in the card's source: links, numbers and names with digits that it has, nothing said twice. For the backend
    transformers alone. Another system than the same model without it: eval/README.md."""
    think: bool = False
    """Ask it to think first (`/think`), with max_thought_tokens beside max_new_tokens. Another system than the same model without; its
    thoughts are kept apart and never scored. The model's template must have the switch `enable_thinking`."""
    endpoint: Endpoint | None = None
    """A model behind a server that speaks OpenAI's chat completions, for the backend `endpoint`."""
    tokenizer: str | None = None
    """With an endpoint: folder or Hub id of the tokenizer whose template the server renders with. Prompts are put into its form:
    control words, think mode, system turn. null sends plain messages, for a server whose model is not known here."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_its_backend(self) -> System:
        if self.backend == "endpoint":
            if self.endpoint is None or self.model or self.revision:
                raise ValueError("backend endpoint takes a block `endpoint` with model and base_url, and no model beside it")
        elif not self.model:
            raise ValueError("it names no model; write a folder, a Hub id or baseline:lead")
        elif self.endpoint:
            raise ValueError(f"it holds an endpoint, but its backend is {self.backend}; write backend: endpoint")
        if self.tokenizer and not self.endpoint:
            raise ValueError(f"tokenizer is for an endpoint, {self.model} has its own; leave it out")
        if self.backend != "vllm" and (self.tensor_parallel_size > 1 or self.max_model_len):
            raise ValueError(f"tensor_parallel_size and max_model_len are for the backend vllm, this one is {self.backend}")
        if self.grounded and self.backend != "transformers":
            raise ValueError(
                f"grounded decoding is written for backend transformers, this one is {self.backend}, "
                + (
                    "whose logits processors are loaded with its engine"
                    if self.backend == "vllm"
                    else "where a server chooses the tokens"
                )
                + "; leave out grounded, or change the backend"
            )
        if (self.grounded or self.think) and self.is_baseline:
            raise ValueError(f"{self.model} decodes nothing: leave out grounded and think")
        if self.think and self.endpoint and not self.tokenizer:
            raise ValueError(
                "think needs the endpoint's tokenizer, whose template tells how it is asked for; name it as tokenizer"
            )
        if self.is_baseline and (self.backend != "transformers" or self.revision):
            raise ValueError(f"{self.model} needs no model: leave out backend and revision")
        return self

    @property
    def is_baseline(self) -> bool:
        return self.model.startswith(BASELINE)

    def place(self, run_dir: Path) -> str:
        """Folder or Hub id."""
        return self.model.replace("{run_dir}", str(run_dir))


def check_names(stage: str, systems: Mapping[str, System]) -> None:
    """Raises ValueError for a name that cannot be a file's."""
    for name in systems:
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f'{stage}.systems: "{name}" is to be a file\'s name; use letters, digits and . _ + - in it')
