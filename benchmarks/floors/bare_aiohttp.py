"""The floor: aiohttp and a window of workers. With `--retry`, a refusal is waited out and asked again."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import aiohttp

from benchmarks.floors.window import add_arguments, answer_rows


async def run(options: argparse.Namespace) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=options.window)) as session:

        async def ask(prompt: str) -> str:
            while True:
                answer = await _post(session, options.url, prompt)
                if isinstance(answer, str):
                    return answer
                if not options.retry:
                    raise RuntimeError(f"status {answer[0]}")
                await asyncio.sleep(answer[1])

        await answer_rows(ask, options.input, options.output, options.window)


async def _post(session: aiohttp.ClientSession, url: str, prompt: str) -> str | tuple[int, float]:
    """The answer's text, or the status and the seconds to wait."""
    body = {"model": "bench", "messages": [{"role": "user", "content": prompt}]}
    headers = {"Authorization": "Bearer bench"}
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as response:
        if response.status != 200:
            return response.status, float(response.headers.get("Retry-After", 0.5))
        answer: Any = await response.json()
        return str(answer["choices"][0]["message"]["content"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--retry", action="store_true", help="ask again after a refusal or an error, until it answers")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
