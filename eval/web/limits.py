"""What one visitor may ask of the machine, and the address policy of the page."""

from __future__ import annotations

from eval.summarizing.card_input import MAX_BYTES

UPLOAD_BYTES = 5_000_000
BODY_BYTES = UPLOAD_BYTES + 500_000  # of a request: a file and what a form puts around it, or a pasted card
CARD_BYTES = MAX_BYTES  # of a card, however it came
MOST_WAITING = 50  # visitors in the queue; the next one is told that it is full
MOST_MODEL_ID = 200
SOURCES = 6  # linked pages that are read
NEW_TOKENS = 1200  # of a summary
STALE_S = 7200  # an upload that nobody asked a summary of is removed after; longer than a full queue takes
BROKEN_S = 120  # what a broken or refused upload leaves is removed after
PORT = 7860  # Gradio's, which Spaces expect
