"""Where cards come from, as a recipe says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from data_prep.core.recipe import Block

Order = Literal["downloads", "likes", "last_modified", "created_at", "trending_score"]


class SourceConfig(Block):
    source: Literal["synthetic", "folder", "parquet", "transcripts", "summaries", "references", "hub"] = "synthetic"
    """synthetic: invented models. folder: .md files. parquet: a table of cards. transcripts: logged conversations with card,
    research and summary. summaries: a JSON line a card with its text and your summary (collecting/summaries.py has the form). references: a file of summaries that names its cards, as recipes/references has. hub: the Hugging Face Hub."""
    path: str | None = None
    """File or folder of cards, for folder, parquet, transcripts and summaries; for references the file of summaries. For parquet also files of a dataset on the Hub, at a commit
    or tag: hf://datasets/OWNER/NAME@REVISION/data/*.parquet."""
    also: list[str] = []
    """For references: further files of summaries beside `path`, in the same form."""
    card_texts: list[str] | None = None
    """For references: folders of .md files and Parquet tables where their cards are looked up by SHA-256. null asks the Hub for the
    commit whose README.md each summary was written from."""
    limit: int | None = Field(None, ge=1)
    """At most this many inputs are read; null reads all."""
    cards: int = 100
    """How many cards to invent, for synthetic."""
    ids: list[str] = []
    """Model ids to fetch, for hub: [owner/name, ...]. The keys below select among the models of authors, or of the whole Hub."""
    authors: list[str] = []
    """Owners whose models are fetched, for hub."""
    task: str | None = None
    """For hub: models of this task, as the Hub names it: text-generation."""
    library: str | None = None
    """For hub: models of this library: transformers."""
    min_downloads: int | None = None
    """For hub: models with at least so many downloads in the last 30 days."""
    min_likes: int | None = None
    """For hub: models with at least so many likes."""
    modified_after: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")
    """For hub: models changed on this day or later, as 2026-01-31."""
    sort: Order | None = None
    """For hub: the order of the models, highest first; with `limit`, which of them are taken."""
    model_column: str = "model_id"
    """Column with the model id, for parquet."""
    text_column: str = "card"
    """Column with the card as text or bytes, for parquet."""
