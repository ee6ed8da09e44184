"""Puts the prompts back into a data set that was published without card text.

    python -m data_prep.rebuild --published DIR --to DIR --tokenizer HuggingFaceTB/SmolLM3-3B --max_prompt_tokens 14000

DIR is a copy of the data set (`hf download owner/name --repo-type dataset --local-dir DIR`). Each card is read from the Hub at
the revision of its rows and its SHA-256 compared with theirs. Rows of a card that is gone or differs are left out and named in
TO/rejected.jsonl; the others are what the publisher trained on, if tokenizer and budget are the publisher's.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from data_prep.cards.parse import decode
from data_prep.collecting.hub_wait import BUSY, patiently, unreachable
from data_prep.core.files import set_aside
from data_prep.core.parquet import EXAMPLE_SCHEMA, PAIR_SCHEMA, Row, read_table, write_table
from data_prep.core.recipe import exit_on_mistake
from data_prep.core.records import TRAINED_ON, Note, Rejected
from data_prep.prompts.chat_format import chat_format, thinks
from data_prep.prompts.student import build_prompt, fitted, load_tokenizer

README = "README.md"
GONE = (401, 403, 404)


def main(published: Path, to: Path, tokenizer: Any, max_prompt_tokens: int, api: HfApi) -> None:
    """Raises ValueError where there is nothing to rebuild, or the Hub does not answer."""
    gone: dict[str, Rejected] = {}

    @cache
    def prompt_of(model_id: str, revision: str, sha256: str, notes: tuple[tuple[str, str], ...]) -> list[dict[str, str]] | None:
        found = fetch(api, model_id, revision, sha256)
        if isinstance(found, Rejected):
            gone[model_id] = found
            return None
        return build_prompt(model_id, found, [Note(*note) for note in notes], tokenizer, max_prompt_tokens).messages

    def whole(rows: Iterator[Row], names: list[str]) -> Iterator[Row]:
        for row in rows:
            notes = tuple((note["url"], note["text"]) for note in row["notes"])
            if prompt := prompt_of(row["model_id"], row["revision"], row["sha256"], notes):
                chat = chat_format(tokenizer, thinks(row.get("chat_template_kwargs")))
                yield {name: row.get(name) for name in names} | {"prompt": fitted(prompt, chat)}

    counts = {}
    for config, folder, schema in (("sft", "sft", EXAMPLE_SCHEMA), ("preference", "pairs", PAIR_SCHEMA)):
        for split in TRAINED_ON:
            rows = read_table(published / config / f"{split}.parquet")
            counts[f"{folder}/{split}"] = write_table(to / folder / f"{split}.parquet", schema, whole(rows, schema.names))
    set_aside(to / "rejected.jsonl", "rebuild", gone.values())
    if not any(counts.values()):
        raise ValueError(f"no row of {published} could be rebuilt; {len(gone)} cards are named in {to / 'rejected.jsonl'}")
    told = ", ".join(f"{count} rows of {name}" for name, count in counts.items() if count)
    print(f"rebuild: {told}; {len(gone)} cards gone")


def fetch(api: HfApi, model_id: str, revision: str | None, sha256: str) -> str | Rejected:
    """The text of a card whose bytes have the hash, or why there is none."""
    try:
        content = patiently(lambda: download(api, model_id, revision)).read_bytes()
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise unreachable(api, error) from None
    except (EntryNotFoundError, HFValidationError):
        return Rejected("rebuild", model_id, "no card on the Hub", f"at revision {revision}")
    except HfHubHTTPError as error:
        if error.response.status_code in BUSY:
            raise unreachable(api, error) from None
        if error.response.status_code not in GONE:
            raise ValueError(
                f"{api.endpoint} answers {error.response.status_code} for {model_id}; run it again later"
            ) from None
        return Rejected("rebuild", model_id, "no card on the Hub", f"at revision {revision}")
    except HTTPError as error:
        raise unreachable(api, error) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        return Rejected("rebuild", model_id, "the card differs from the one that was used", f"at revision {revision}")
    return decode(content)


def download(api: HfApi, model_id: str, revision: str | None) -> Path:
    kept = try_to_load_from_cache(model_id, README, revision=revision) if revision else None
    if not isinstance(kept, str):
        # The download alone waits as long as any Hub asks, and then says that the file is not in its cache.
        api.get_hf_file_metadata(url=hf_hub_url(model_id, README, revision=revision, endpoint=api.endpoint))
        kept = api.hf_hub_download(model_id, README, revision=revision)
    return Path(kept)


def run(options: argparse.Namespace) -> None:
    if not (options.published / "sft").is_dir():
        raise ValueError(f"{options.published} holds no folder sft; pass a copy of the published data set as --published")
    tokenizer = load_tokenizer(options.tokenizer, "--tokenizer")
    main(options.published, options.to, tokenizer, options.max_prompt_tokens, HfApi())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True, help="folder of the published data set")
    parser.add_argument("--to", type=Path, required=True, help="folder for the whole rows")
    parser.add_argument("--tokenizer", required=True, help="folder or Hub id, the one that the rows were made with")
    parser.add_argument("--max_prompt_tokens", type=int, required=True, help="budget of a prompt that the rows were made with")
    options = parser.parse_args()
    exit_on_mistake(lambda: run(options), "data_prep.rebuild")
