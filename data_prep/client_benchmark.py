"""What order, cache and budget cost: `ask_all` beside bare AsyncOpenAI calls, against a server on loopback.

    python -m data_prep.client_benchmark

Prints the seconds of 600 requests, 32 in flight, by either, their ratio, and how many a second run sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from data_prep.chat.client import Endpoint, Question, Usage, ask_all

REQUESTS, IN_FLIGHT = 600, 32
MODEL = "echo"
CARD = "Training covered 340B tokens of text. " * 1000  # about as long as a card with its notes


def asked(number: int) -> str:
    return f"{CARD}\n\nSummary {number}"


def serve(sender: Connection) -> None:
    """Answers every request at once with 900 words; sends its port."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 900}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9000, "completion_tokens": 900, "total_tokens": 9900}
    body = json.dumps(
        {"id": "x", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage}
    ).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0]))
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def bare(url: str) -> None:
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def one(number: int) -> None:
            async with slots:
                message: ChatCompletionUserMessageParam = {"role": "user", "content": asked(number)}
                await client.chat.completions.create(model=MODEL, messages=[message], max_tokens=1500)

        await asyncio.gather(*(one(number) for number in range(REQUESTS)))


def ours(url: str, cache: Path) -> int:
    """Returns the requests sent."""
    endpoint, usage = Endpoint(model=MODEL, base_url=url, licence="none", concurrency=IN_FLIGHT), Usage()
    questions = ((number, Question([{"role": "user", "content": asked(number)}])) for number in range(REQUESTS))
    assert sum(1 for _ in ask_all(endpoint, cache, questions, usage)) == REQUESTS
    return usage.requests


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(sender,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiver.recv()}/v1"
    asyncio.run(bare(url))  # warm: the first calls import what openai leaves for later
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        asyncio.run(bare(url))
        bare_s = time.perf_counter() - started
        sent = ours(url, Path(folder) / "answers.sqlite")
        ours_s = time.perf_counter() - started - bare_s
        again = ours(url, Path(folder) / "answers.sqlite")
        again_s = time.perf_counter() - started - bare_s - ours_s
    server.terminate()
    print(f"{REQUESTS} requests, {IN_FLIGHT} in flight: bare {bare_s:.2f} s, ours {ours_s:.2f} s, ratio {ours_s / bare_s:.2f}")
    print(f"ours sent {sent}; a second run sent {again} in {again_s:.2f} s")


if __name__ == "__main__":
    main()
