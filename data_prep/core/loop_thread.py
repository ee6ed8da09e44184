"""An event loop on a thread of its own, so that answers arrive while nobody reads."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any


@contextmanager
def loop_thread(name: str, close: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[Callable[..., Future[Any]]]:
    """Gives the function that hands a coroutine to the loop. At the end what is in flight is cancelled, then `close` awaited."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop)
    finally:
        if not sys.is_finalizing():  # else the generator was left to the interpreter's end, and the thread runs no more
            asyncio.run_coroutine_threadsafe(_end(close), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _end(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close()
