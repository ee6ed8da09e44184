"""Writes a model in forms for other uses: for longer inputs, as GGUF for llama.cpp, as one small adapter to hand on.

    python -m training.export --config recipes/smollm3-3b/long_cards.yaml
    python -m training.export --config recipes/export/gguf.yaml
    python -m training.export --config recipes/smollm2-135m/adapter.yaml

Reads   <model>, a folder; for GGUF also what recipes/export/install.sh makes; for an adapter those of the run
Writes  <run_dir>/<model>-long/              with yarn_factor: the same weights under another config.json
        <run_dir>/gguf/<model>-<TYPE>.gguf   with gguf: one file a type, of the long model where both are asked for
        <run_dir>/adapter/                   with adapters: their sum as one adapter in bfloat16

The first two start from a whole model with its tokenizer: an adapter is merged first (training.merge).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from data_prep.core.files import made_whole
from data_prep.core.manifest import Manifest
from data_prep.core.recipe import Block, Recipe, command
from training.exporting.gguf import FileType, Tools, check_convertible, convert, quantise
from training.exporting.yarn import lengthen


class ExportConfig(Block):
    model: str = "{run_dir}/model"
    """Folder of the model. `{run_dir}` stands for the run."""
    yarn_factor: Annotated[float, Field(gt=1)] | None = None
    """The model takes so many times the tokens it was trained for, by YaRN; SmolLM3-3B's card names 2.0: 131,072."""
    gguf: list[FileType] = []
    """Types of the GGUF files, in llama.cpp's names, for example [Q8_0, Q4_K_M]. BF16 is not quantised."""
    adapters: list[str] = []
    """Folders of the run with adapters, in the order in which they were trained, for example [sft, aligned]."""
    adapter_base: str | None = None
    """The Hub id that the adapter names as its base."""
    llama_cpp: str = ".llama-cpp"
    """Folder of llama.cpp, with its converter and a build in build/bin."""


def main(recipe: Recipe[ExportConfig]) -> None:
    block = recipe.block
    if block.adapters:
        write_small_adapter(recipe)
        if not block.yarn_factor and not block.gguf:
            return
    model = Path(block.model.replace("{run_dir}", str(recipe.run_dir)))
    if not block.yarn_factor and not block.gguf:
        raise ValueError(
            "export names nothing to make; set export.yarn_factor (a longer context), export.gguf or export.adapters"
        )
    if not (model / "config.json").exists():
        raise ValueError(f"{model} in export.model holds no config.json; name a model's folder: training.merge writes one")
    if block.yarn_factor:
        model = write_long(recipe, model, block.yarn_factor)
    if block.gguf:
        write_gguf(recipe, model)


def write_long(recipe: Recipe[ExportConfig], model: Path, factor: float) -> Path:
    """The folder with the longer context. Raises ValueError where the model's config allows none."""
    output = recipe.run_dir / f"{model.name}-long"
    manifest = Manifest(output / "export.manifest.json", "export long", {"yarn_factor": factor}, [model], [output])
    if not manifest.is_done():
        with made_whole(output) as folder:
            config = lengthen(model, folder, factor)
        manifest.write(max_position_embeddings=config.max_position_embeddings, rope_parameters=config.rope_parameters)
        print(f"export: {output} takes {config.max_position_embeddings:,} tokens")
    return output


def write_gguf(recipe: Recipe[ExportConfig], model: Path) -> None:
    """One file per type. Raises ValueError where llama.cpp is not there, would misread the model, or fails."""
    types, output = list(dict.fromkeys(recipe.block.gguf)), recipe.run_dir / "gguf"
    tools = Tools.of(Path(recipe.block.llama_cpp))
    inputs = [model, tools.conversion, tools.quantize]
    manifest = Manifest(output / "export.manifest.json", "export gguf", {"gguf": types}, inputs, [output])
    if manifest.is_done():
        return
    check_convertible(model)
    with made_whole(output) as folder:
        whole = convert(tools, model, folder / f"{model.name}-BF16.gguf")
        sizes = {"BF16": whole.stat().st_size}
        for kind in types:
            if kind != "BF16":
                sizes[kind] = quantise(tools, whole, folder / f"{model.name}-{kind}.gguf", kind).stat().st_size
        if "BF16" not in types:
            whole.unlink()
    manifest.write(bytes={kind: sizes[kind] for kind in types})
    for kind in types:
        print(
            f"export: {output / f'{model.name}-{kind}.gguf'}, {sizes[kind] / 1e9:.2f} GB of {sizes['BF16'] / 1e9:.2f} in BF16"
        )


def write_small_adapter(recipe: Recipe[ExportConfig]) -> None:
    """The run's adapters as one, in half of the bytes. Raises ValueError where one is missing or they cannot be joined."""
    from training.release.files import round_adapter, write_adapter

    block, output = recipe.block, recipe.run_dir / "adapter"
    folders = [recipe.run_dir / name for name in block.adapters]
    if missing := [str(folder) for folder in folders if not (folder / "adapter_config.json").exists()]:
        raise ValueError(
            f"export.adapters: {', '.join(missing)} holds no adapter; run the stage that trains it, or correct the name"
        )
    if not block.adapter_base:
        raise ValueError("export.adapters needs export.adapter_base, the Hub id of the model that the adapter is for")
    settings = {"adapters": block.adapters, "adapter_base": block.adapter_base}
    manifest = Manifest(output / "export.manifest.json", "export adapter", settings, folders, [output])
    if manifest.is_done():
        return
    with made_whole(output) as folder:
        write_adapter(folders, folder, block.adapter_base, None)
        size = round_adapter(folder)
    manifest.write(bytes=size)
    print(f"export: {output}, {size / 1e6:.1f} MB for {block.adapter_base}")


if __name__ == "__main__":
    command("export", ExportConfig, main, __doc__, "training.export")
