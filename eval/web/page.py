"""The page itself: a form, a queue, and two places for what comes of a job."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Before Gradio is imported: it asks the internet for its newest version, and counts its users.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from starlette.middleware import Middleware

from eval.web import limits
from eval.web.asked import Asked, Upload, request_of
from eval.web.drawn import drawn
from eval.web.forget import sweep
from eval.web.guard import Guard
from eval.web.job import Progress, run
from eval.web.models import Models

HERE = Path(__file__).parent
TITLE = "Card Summarizer"
HEAD = """<div class="cs-head"><h1>Card Summarizer</h1>
<p>One page from a Hugging Face model card, each number, name and link checked against its source. Nothing that you give is kept.</p></div>"""
HINT = "Qwen/Qwen3-8B, or https://..., or the text of a card"


@dataclass(frozen=True)
class PageOptions:
    """`at_once`: jobs that run side by side; `research`: whether visitors may have linked pages read."""

    at_once: int = 1
    research: bool = True


def build(models: Models, options: PageOptions) -> gr.Blocks:
    """The page with its queue, not yet served."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(limits.STALE_S, limits.STALE_S)) as page:
        gr.HTML(HEAD)
        typed, card = _card()
        model_id, notes, research, model = _more(models, options)
        with gr.Row():
            start = gr.Button("Summarise", variant="primary")
            stop = gr.Button("Cancel", variant="stop")
        shown = gr.HTML("", elem_id="cs-result")

        def summarise(
            typed: str, card: str | None, model_id: str, notes: str | None, research: bool, model: str
        ) -> Iterator[str]:
            yield from _told(
                models, Asked(typed or "", _upload(card), model_id or "", _upload(notes), research and options.research), model
            )

        inputs = [typed, card, model_id, notes, research, model]
        running = start.click(
            summarise, inputs, shown, api_name="summarize", concurrency_limit=options.at_once, show_progress="minimal"
        )
        start.click(lambda: (None, None), None, [card, notes], api_visibility="private", queue=False)
        stop.click(_cancelled, None, shown, cancels=[running], api_visibility="private", queue=False)
    return page.queue(
        api_open=False, max_size=limits.MOST_WAITING, default_concurrency_limit=options.at_once, status_update_rate=2
    )


def _card() -> tuple[gr.Textbox, gr.File]:
    with gr.Row(equal_height=True):
        label = "Model card: Hub id, https address, or pasted text"
        typed = gr.Textbox(label=label, placeholder=HINT, lines=4, max_lines=12, scale=3)
        label = f"Or a file (Markdown, up to {limits.UPLOAD_BYTES // 1_000_000} MB)"
        return typed, gr.File(label=label, file_types=["text", ".md", ".markdown"], height=150, scale=2)


def _more(models: Models, options: PageOptions) -> tuple[gr.Textbox, gr.File, gr.Checkbox, gr.Radio]:
    with gr.Accordion("More: model, id, notes, links", open=False):
        labels = [choice.label for choice in models.choices]
        model = gr.Radio(labels, value=labels[0], label="Model that writes")
        hint = "ORG/NAME, where the card does not say it"
        model_id = gr.Textbox(label="Model id (optional)", placeholder=hint, max_lines=1)
        notes = gr.File(label="Notes on linked pages (optional)", height=120)
        label = "Read linked pages and take notes on them (minutes)"
        research = gr.Checkbox(False, label=label, visible=options.research, interactive=options.research)
    return model_id, notes, research, model


def _told(models: Models, asked: Asked, label: str) -> Iterator[str]:
    """What the visitor sees, state by state; a mistake in the form is the only one."""
    try:
        choice = models.choice(label)
        request = request_of(asked)
    except ValueError as error:
        yield drawn(Progress(error=str(error)))
        return
    for progress in run(request, choice, models, asked.research):
        yield drawn(progress)


def _cancelled() -> str:
    return drawn(Progress(error="Cancelled; nothing of it is kept."))


def _upload(path: str | None) -> Upload | None:
    """The bytes of an uploaded file, which is removed at once. Raises gr.Error for a file that was not uploaded, or is gone."""
    home = Path(upload_folder()).resolve()
    sweep(home)
    if not path:
        return None
    file = Path(path).resolve()
    if home not in file.parents or not file.is_file():
        raise gr.Error("that file was not uploaded here, or is gone; drop it anew", print_exception=False)
    try:
        with open(file, "rb") as handle:
            return Upload(file.name, handle.read(limits.UPLOAD_BYTES + 1))
    finally:
        file.unlink(missing_ok=True)


def upload_folder() -> str:
    return os.environ.get("GRADIO_TEMP_DIR") or str(Path(tempfile.gettempdir(), "gradio"))


@dataclass(frozen=True)
class Served:
    """Where the page is to be had; `share`: through a tunnel of Gradio's, from anywhere."""

    host: str = "127.0.0.1"
    port: int = limits.PORT
    share: bool = False


def serve(page: gr.Blocks, where: Served, wait: bool = True) -> str:
    """Serves until interrupted, or with `wait` false in the background; the page's address. Raises ValueError where the port is taken."""
    try:
        _, local, shared = page.launch(
            server_name=where.host, server_port=where.port, share=where.share, prevent_thread_lock=not wait, quiet=True,
            show_error=False, inbrowser=False, inline=False, footer_links=[], run_history=False, ssr_mode=False, pwa=False,
            mcp_server=False, enable_monitoring=False, max_file_size=limits.UPLOAD_BYTES, theme=theme(),
            css_paths=[HERE / "page.css"], head=f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>",
            app_kwargs={"middleware": [Middleware(Guard)]},
        )  # fmt: skip
    except OSError as error:
        raise ValueError(f"port {where.port} of {where.host} is not to be had ({error}); name another --port") from None
    return str(shared or local)


def theme() -> gr.themes.Base:
    """The colours of the report's page; fonts of the visitor's own machine."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]
    made = gr.themes.Base(primary_hue="blue", neutral_hue="stone", radius_size="sm", font=fonts, font_mono=mono)
    return made.set(
        body_background_fill="#fcfbf8", body_background_fill_dark="#16181b",
        body_text_color="#1e1f21", body_text_color_dark="#e6e4df",
        body_text_color_subdued="#5c6066", body_text_color_subdued_dark="#a3a7ad",
        block_background_fill="#ffffff", block_background_fill_dark="#1d2024",
        block_border_color="#dcd9d1", block_border_color_dark="#363a40",
        block_label_background_fill="#ffffff", block_label_background_fill_dark="#1d2024",
        block_label_text_color="#5c6066", block_label_text_color_dark="#a3a7ad",
        input_background_fill="#ffffff", input_background_fill_dark="#16181b",
        input_border_color="#dcd9d1", input_border_color_dark="#363a40",
        button_primary_background_fill="#1f5c99", button_primary_background_fill_dark="#1f5c99",
        button_primary_background_fill_hover="#174a7c", button_primary_background_fill_hover_dark="#2a6db0",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#ffffff",
    )  # fmt: skip
