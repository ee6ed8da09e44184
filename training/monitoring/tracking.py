"""Following a run: its log in a file, wandb groups, names, recipe and lineage; the other trackers of transformers; samples while training.

One group is one run folder, one job type one stage. In wandb's graph a stage points back to its data set and, for
alignment, to the SFT adapter that was merged into its base. With WANDB_MODE=offline all of it lies in <run_dir>/wandb.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.core.files import stable_id, to_json, write_text
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import did_you_mean
from data_prep.core.text import first_line
from training.resume.checkpoints import begun
from training.setup.config import Parsed

COPIED_MB = 64  # larger data sets go into wandb as a path and a hash


def follow(parsed: Parsed, stage: str) -> None:
    """Names the run for its trackers. Before the model is loaded: raises ValueError where `report_to` names a tracker that
    is unknown or not installed, or wandb would ask for a login."""
    trackers = parsed.trainer.report_to or []
    check_installed(trackers)
    run = Path(parsed.run.run_dir).resolve()
    parsed.trainer.run_name = parsed.trainer.run_name or f"{name_of(run)}-{stage}"
    parsed.trainer.project = parsed.run.wandb_project  # trackio's word for it
    if "wandb" not in trackers:
        return
    os.environ.setdefault("WANDB_PROJECT", parsed.run.wandb_project)
    os.environ["WANDB_RUN_GROUP"] = name_of(run)
    os.environ["WANDB_JOB_TYPE"] = stage
    os.environ["WANDB_RESUME"] = "allow"
    os.environ.setdefault("WANDB_DIR", str(run))
    check_logged_in()


def name_of(run: Path) -> str:
    """The folder's, for a round of alignment behind that of the run: every run of several rounds has a round-1."""
    return f"{run.parent.name}-{run.name}" if re.fullmatch(r"round-\d+", run.name) else run.name


def check_installed(trackers: list[str]) -> None:
    from transformers.integrations import get_reporting_integration_callbacks
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for tracker in trackers:
        if tracker not in INTEGRATION_TO_CALLBACK:
            raise ValueError(f'report_to names "{tracker}". {did_you_mean(tracker, ["none", *INTEGRATION_TO_CALLBACK])}')
        try:
            for callback in get_reporting_integration_callbacks([tracker]):
                callback()
        except (RuntimeError, ImportError) as error:
            raise ValueError(
                f'report_to names "{tracker}", which cannot be used here ({first_line(error)}); '
                "install it, or set report_to: none"
            ) from None


def check_logged_in() -> None:
    import wandb
    from accelerate import PartialState

    if not PartialState().is_main_process or wandb.setup().settings.mode in ("offline", "dryrun", "disabled"):
        return
    if not wandb.login(prompt=False, verify=False):
        raise ValueError(
            "report_to names wandb and there is no login; set WANDB_API_KEY, run wandb login, or set WANDB_MODE=offline "
            "and sync later"
        )


def watch(trainer: Any, parsed: Parsed, manifest: Manifest) -> None:
    """Gives a built trainer what it needs to be followed: its log in a file, recipe and inputs for wandb, and samples."""
    from training.monitoring.sample_summaries import SampleCallback, validation_cards

    trainer.add_callback(log_file(manifest.path.with_name("trainer_state.json")))
    if "wandb" in trainer.args.report_to:
        go_on_with_curve(manifest)
        trainer.add_callback(wandb_inputs(parsed, manifest))
    if parsed.run.sample_cards:
        cards = validation_cards(Path(parsed.run.run_dir) / "data", parsed.run.sample_cards)
        trainer.add_callback(SampleCallback(trainer, cards, parsed.run.sample_steps, parsed.run.sample_tokens))


def log_file(path: Path) -> Any:
    """A callback that writes the log so far with each of its lines, by transformers' own name: checkpoints hold it too, but up to
    save_steps late. A run that goes on takes its checkpoint's log up, so no step stands in it twice."""
    from transformers import TrainerCallback

    class LogFile(TrainerCallback):
        def on_log(self, args, state, control, **kwargs):
            if state.is_world_process_zero:
                write_text(path, to_json(vars(state)))

    return LogFile()


def go_on_with_curve(manifest: Manifest) -> None:
    """A stage that goes on continues its own curve; one that starts over, or another recipe in the folder, begins a new one."""
    import wandb
    from accelerate import PartialState

    if PartialState().is_main_process:  # the one that draws it; another machine's may not see the folder
        # What began before beginnings had an id has one by folder and stage. It goes into wandb's settings: wandb read the
        # environment when the login was checked, before it was known what lies in the folder.
        old = stable_id(str(manifest.path.parent.parent.resolve()), manifest.stage)
        wandb.setup(wandb.Settings(run_id=begun(manifest).get("run_id", old)))


def wandb_inputs(parsed: Parsed, manifest: Manifest) -> Any:
    """A callback that tells wandb of our part of the recipe and of the inputs; transformers tells of the trainer's."""
    from transformers import TrainerCallback

    class Inputs(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            import wandb

            if wandb.run is None:  # transformers starts one in the first process alone
                return
            ours = dataclasses.asdict(parsed.run) | dataclasses.asdict(parsed.model)
            wandb.config.update({f"recipe/{name}": value for name, value in ours.items()}, allow_val_change=True)
            for artifact in input_artifacts(manifest):
                # use_artifact refuses to work offline; this is what it does online, and wandb sync replays it.
                wandb.run._log_artifact(artifact, is_user_created=True, use_after_commit=True)

    return Inputs()


def input_artifacts(manifest: Manifest) -> Iterator[Any]:
    """The stage's tables, and for alignment the SFT adapter: the same files under the same name are the same version."""
    import wandb

    output = manifest.path.parent
    tables = [path for path in manifest.inputs if path.is_file()]
    data = wandb.Artifact(artifact_name(output.parent, f"{manifest.stage}-data"), "dataset")
    copied = sum(path.stat().st_size for path in tables) <= COPIED_MB * 1e6
    for path in tables:
        if copied:
            data.add_file(str(path), name=path.name)
        else:
            data.add_reference(path.resolve().as_uri(), name=path.name)
    yield data
    adapter = output.parent / "sft"
    if adapter != output and (adapter / "adapter_model.safetensors").exists():
        yield adapter_artifact(adapter)


def artifact_name(run_dir: Path, part: str) -> str:
    """Of the run's name and the part, in the characters that wandb allows."""
    return re.sub(r"[^\w.-]+", "-", f"{name_of(run_dir.resolve())}-{part}", flags=re.ASCII)


def adapter_artifact(folder: Path) -> Any:
    import wandb

    artifact = wandb.Artifact(artifact_name(folder.parent, folder.name), "model")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        artifact.add_file(str(folder / name), name=name)
    return artifact


def close(trainer: Any, manifest: Manifest) -> None:
    """After the manifest is written: the adapter into wandb's graph, then every tracker and process group ended."""
    if "wandb" in trainer.args.report_to:
        import wandb

        if wandb.run is not None:
            wandb.run.log_artifact(adapter_artifact(manifest.path.parent))
            wandb.finish()
    trainer.end()
