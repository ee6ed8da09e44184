"""Asking the Hub as often as it allows.

A refusal gets its words from who asks: of a model in `hub.py` (`HubCards`), of a data set in `hub_datasets.py`, of a card to be put
back in `data_prep/rebuild.py`; a push in `publishing/push.py`. Here is what is said of a Hub that is away or stays busy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import parse_ratelimit_headers

from data_prep.core.retry_after import retry_after
from data_prep.core.text import first_line

Answer = TypeVar("Answer")
BUSY = (429, 500, 502, 503, 504)  # answers that say nothing about the one model
LONGEST_WAIT = 330.0  # seconds: the Hub counts requests by windows of 300
PAUSES = (1.0, 2.0)  # seconds before the second and third try, where the Hub does not say


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer to `ask`, after as long a wait as a busy Hub names. Raises what `ask` raised where that is too long."""
    for pause in (*PAUSES, None):
        try:
            return ask()
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            # Where the question about a file fails, the library says that the file is not in its cache.
            busy = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
            wait = _wait(busy, pause) if isinstance(busy, HfHubHTTPError) else None
            if pause is None or wait is None or wait > LONGEST_WAIT:
                raise
        if wait > max(PAUSES):
            print(f"the Hub asks to wait {wait:.0f} s", file=sys.stderr)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _wait(error: HfHubHTTPError, default: float | None) -> float | None:
    """Seconds that the Hub asks for, `default` where it does not say, None where waiting would not help."""
    response = error.response
    if response.status_code not in BUSY:
        return None
    limit, after = parse_ratelimit_headers(response.headers), retry_after(response.headers.get("retry-after", ""))
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    return default if after is None else after


def unreachable(api: HfApi, error: Exception) -> ValueError:
    return ValueError(
        f"{api.endpoint} does not answer ({first_line(error, 200)}); wait or check HF_ENDPOINT and run again, cards already fetched are kept"
    )
