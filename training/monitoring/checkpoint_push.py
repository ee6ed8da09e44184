"""Pushing while training: what goes to the Hub, under which card, and what a cut connection does.

TRL's `push_to_hub`, `hub_model_id`, `hub_strategy`, `hub_private_repo`, `hub_always_push` and `hub_revision` mean what they
mean there. Four things are different from transformers' own push, which sends the output folder as it lies:

- Named files alone go up. The folder also holds a pickle, the resolved recipe and manifests, with local paths.
- A push in the background that fails is told at once, and training goes on; transformers never looks at its outcome.
- The last push is tried again, and if it fails the run is finished all the same, with the adapter on the disk.
- A repository that is to be private and is public already is not pushed to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import CommitOperationAdd, ModelCard, ModelCardData, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from transformers.trainer_utils import HubStrategy
from transformers.utils.hub import PushInProgress, hf_api

from data_prep.core.files import follow_umask
from data_prep.prompts.chat_format import ChatFormat, chat_format
from data_prep.publishing.push import censored
from training.setup.hub_names import is_hub_id, lineage, public_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import Trainer as Mixed  # what stands behind the mixin in every class that has it
else:
    Mixed = object

WEIGHTS = ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer*", "vocab*", "merges.txt")
RESUME = ("optimizer.pt", "scheduler.pt", "rng_state*.pth", "trainer_state.json")  # hub_strategy: checkpoint
PAUSES_S = (0, 2, 8)  # before each try of the last push
CARD = """
# {name}

A LoRA adapter, trained with {trainer}, for one-page summaries of model cards: 300 to 500 words of Markdown with links to
the sources. {lineage}

{kwargs}The prompt is `build_prompt` in `data_prep/prompts/student.py` of Card Summarizer.

Pushed while it was training: not evaluated yet.
"""

NO_THINKING = """Render the prompt with `{kwargs}` in `apply_chat_template`: the summaries were trained behind an empty think block,
and with the template's default the model thinks first. """


class HubPush(Mixed):
    """Mixin before an SFTTrainer, a DPOTrainer or a GRPOTrainer."""

    _name: str  # TRL's word for the method
    model: PreTrainedModel  # or PEFT's around it, which answers in its place
    hub_model_id: str  # type: ignore[assignment]  # transformers starts with None, which mypy takes for all it is
    push_in_progress: PushInProgress | None  # type: ignore[assignment]  # transformers starts with None here too

    @property
    def _folder(self) -> Path:
        return Path(cast("str", self.args.output_dir))  # transformers fills it in where nobody names one

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Makes the repository. Raises ValueError where the Hub refuses or is not there: before training, not after it."""
        name = self.args.hub_model_id or self._folder.name
        try:
            super().init_hf_repo(token, private)
            if not self.is_world_process_zero():
                return
            public = not hf_api().model_info(self.hub_model_id, token=self.args.hub_token).private
        except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
            raise ValueError(
                f"cannot push to {name} ({self._said(error)}); check hub_model_id and HF_TOKEN, or set push_to_hub: false"
            ) from None
        if self.args.hub_private_repo and public:
            raise ValueError(
                f"{self.hub_model_id} is public and hub_private_repo is true; set hub_private_repo: false to push there, or "
                "choose another hub_model_id"
            )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Starts a push in the background, unless the last one still runs and `hub_always_push` is off."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        running = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if running and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        folder, step = Path(checkpoint_folder), self.state.global_step
        files = list(published(folder, WEIGHTS)) + [self._card_file()]
        if self.args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            inside = "last-checkpoint" if self.args.hub_strategy == HubStrategy.CHECKPOINT else folder.name
            files += published(folder, (*WEIGHTS, *RESUME), f"{inside}/")
        job = hf_api().run_as_future(self._send, files, f"Training in progress, step {step}")
        job.add_done_callback(lambda done: self._tell(done, step))
        if running:
            self.push_in_progress.jobs.append(job)  # type: ignore[union-attr]  # it is there, and its jobs are a list
        else:
            self.push_in_progress = PushInProgress([job])  # type: ignore[arg-type]  # it takes a list, as transformers does it

    def push_to_hub(  # type: ignore[override]  # of a push that failed there is no CommitInfo; nobody asks for it
        self, commit_message: str = "End of training", **kwargs: Any
    ) -> None:
        """Saves, waits for the push that runs, and pushes the output folder. A push that fails is told, not raised."""
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return
        if self.hub_model_id is None:
            self.init_hf_repo()
        self._finish_current_push()
        output, failed = self._folder, ""
        for pause in PAUSES_S:
            time.sleep(pause)
            try:
                place = self._send([*published(output, WEIGHTS), self._card_file()], commit_message)
                print(f"pushed to {place}")
                return
            except (HTTPError, OSError, ValueError) as error:
                failed = self._said(error)
                if isinstance(error, HfHubHTTPError) and error.response.status_code in (400, 401, 403, 404):
                    break
        names = " ".join(operation.path_in_repo for operation in published(output, WEIGHTS))
        print(
            f"the adapter is whole in {output} but was not pushed to {self.hub_model_id} ({failed}); push it with: "
            f"hf upload {self.hub_model_id} {output} --include README.md {names}"
        )

    def _send(self, files: Sequence[CommitOperationAdd], message: str) -> str:
        commit = hf_api().create_commit(
            self.hub_model_id, files, commit_message=message, token=self.args.hub_token, revision=self.args.hub_revision
        )
        return f"{self.hub_model_id} at {commit.oid}"

    def _tell(self, job: Any, step: int) -> None:
        if not job.cancelled() and (error := job.exception()) is not None:
            print(
                f"the push of step {step} to {self.hub_model_id} failed ({self._said(error)}); training goes on and the next "
                "save is pushed again"
            )

    def _said(self, error: Exception) -> str:
        return censored(error, self.args.hub_token or get_token() or "\0")

    # --- the card -----------------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """As the trainer saves, but for others to read, and PEFT's card, which names a local folder as the base, is replaced by ours."""
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            follow_umask(Path(output_dir or self._folder))
            self._card().save(Path(output_dir or self._folder) / "README.md")

    def create_model_card(self, *arguments: Any, **options: Any) -> None:
        if self.is_world_process_zero():
            self._card().save(self._folder / "README.md")

    def _card(self) -> ModelCard:
        name = (self.args.hub_model_id or self._folder.resolve().name).rpartition("/")[2]
        return model_card(name, self.model.config._name_or_path, self._name, chat_format(self.processing_class))

    def _card_file(self) -> CommitOperationAdd:
        return CommitOperationAdd("README.md", str(self._card()).encode())


def published(folder: Path, patterns: Sequence[str], inside: str = "") -> Iterator[CommitOperationAdd]:
    """The folder's files that may go up, read now: a checkpoint can be deleted while a push runs."""
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        yield CommitOperationAdd(inside + path.name, without_local_paths(path))


def without_local_paths(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "adapter_config.json":
        config = json.loads(content)
        config["base_model_name_or_path"] = public_name(config["base_model_name_or_path"])
        return json.dumps(config, indent=2).encode()
    if path.name == "trainer_state.json":
        return json.dumps({**json.loads(content), "best_model_checkpoint": None}, indent=2).encode()
    return content


def model_card(name: str, trained_on: str, trainer: str, chat: ChatFormat) -> ModelCard:
    """A short card that names the real base. TRL's says "fine-tuned version of None" of every local base."""
    chain = lineage(trained_on)
    root = chain[-1]
    words = f"Its base is {public_name(root)}{'' if is_hub_id(root) else ', a folder that is not on the Hub'}."
    if len(chain) > 1:
        words += (
            f" It was trained on {public_name(trained_on)}, that base with the adapter of SFT merged in, and works on no other."
        )
    data = ModelCardData(
        base_model=root if is_hub_id(root) else None,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["lora", "trl", trainer.lower()],
        model_name=name,
    )
    kwargs = ", ".join(f"{key}={value}" for key, value in chat.kwargs.items())
    body = CARD.format(name=name, trainer=trainer, lineage=words, kwargs=NO_THINKING.format(kwargs=kwargs) if kwargs else "")
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}", ignore_metadata_errors=True)
