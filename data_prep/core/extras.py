"""A package that is missing is told with the extra that brings it."""

from __future__ import annotations

import sys
from types import TracebackType

EXTRA_OF = {
    **dict.fromkeys(("numpy", "pyarrow", "rensa", "scipy", "tqdm"), "data"),
    **dict.fromkeys(("accelerate", "bitsandbytes", "datasets", "psutil", "trl", "wandb"), "train"),
    "rouge_score": "eval",
    **dict.fromkeys(("datatrove", "ray"), "scale"),
}
_before = sys.excepthook


def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of the traceback that a command would end with. Commands import what they need before they can catch anything."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name in EXTRA_OF:
        extra = EXTRA_OF[name]
        print(f"{name} is not installed; the extra {extra} brings it: pip install 'card-summarizer[{extra}]'", file=sys.stderr)
    else:
        _before(kind, error, trace)


def install() -> None:
    sys.excepthook = tell
