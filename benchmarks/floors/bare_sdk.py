"""The floor with the openai SDK: its aiohttp transport with a pool as wide as the window, or its default one."""

from __future__ import annotations

import argparse
import asyncio

import openai

from benchmarks.floors.window import add_arguments, answer_rows


def client(options: argparse.Namespace) -> openai.AsyncOpenAI:
    if options.transport == "default":
        return openai.AsyncOpenAI(base_url=options.url, api_key="bench", max_retries=options.max_retries)
    import httpx2

    limits = httpx2.Limits(max_connections=options.window, max_keepalive_connections=options.window)
    http_client = openai.DefaultAioHttpClient(limits=limits, timeout=600.0)
    return openai.AsyncOpenAI(
        base_url=options.url, api_key="bench", max_retries=options.max_retries, http_client=http_client
    )


async def run(options: argparse.Namespace) -> None:
    async with client(options) as sdk:

        async def ask(prompt: str) -> str:
            messages = [{"role": "user", "content": prompt}]
            answer = await sdk.chat.completions.create(model="bench", messages=messages)  # type: ignore[arg-type]  # plain dicts, as people write them
            return answer.choices[0].message.content or ""

        await answer_rows(ask, options.input, options.output, options.window)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--transport", choices=["aiohttp", "default"], default="aiohttp")
    parser.add_argument("--max-retries", type=int, default=0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
