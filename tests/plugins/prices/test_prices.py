"""List prices from the table that `genai-prices` carries, through the plugin system."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck import LLM
from limbeck.errors import UnknownPriceError
from limbeck.types import Generation, GenerationRequest, GenerationResponse, Usage
from limbeck_prices import limbeck_price
from support.questions import Ask

README = Path(__file__).parents[3] / "plugins" / "prices" / "README.md"
OPENAI = "https://api.openai.com/v1"


def price(usage: Usage, *, model: str = "gpt-4o-mini", provider: str = "openai", url: str | None = OPENAI) -> Any:
    return limbeck_price(model=model, provider=provider, base_url=url, usage=usage)


MILLION = Usage(input_tokens=1_000_000)


def test_input_cached_input_and_output_have_their_own_prices() -> None:
    assert price(Usage(input_tokens=1_000_000)) == 0.15
    assert price(Usage(input_tokens=1_000_000, cached_tokens=1_000_000)) == 0.075
    assert price(Usage(output_tokens=1_000_000)) == 0.6


def test_more_cached_tokens_than_tokens_are_not_believed() -> None:
    assert price(Usage(input_tokens=1_000_000, cached_tokens=2_000_000)) == 0.075


@pytest.mark.parametrize("provider", ["openai", "azure-openai"])
def test_a_backend_without_an_address_is_looked_up_by_its_name(provider: str) -> None:
    assert price(MILLION, provider=provider, url=None) == 0.15


@pytest.mark.parametrize(
    "unknown",
    [{"url": "http://localhost:8000/v1"}, {"model": "no-such-model"}, {"provider": "acme", "url": None}],
    ids=["another server", "a model of nobody", "a backend of one's own"],
)
def test_what_the_table_lacks_is_unknown_not_free(unknown: dict[str, Any]) -> None:
    assert price(MILLION, **unknown) is None


class PlacedLLM(LLM):
    """Answers in this process, and says that it is at `base_url`."""

    model: str = "gpt-4o-mini"
    base_url: str = OPENAI

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        usage = Usage(input_tokens=1_000, output_tokens=1_000)
        return GenerationResponse(generations=[Generation(text="yes")], usage=usage)


def test_where_it_is_installed_a_run_knows_its_cost() -> None:
    stream = Ask(llm=PlacedLLM()).run([{"question": "?"}] * 4)
    assert len(list(stream)) == 4
    assert stream.stats.cost == pytest.approx(4 * (0.00015 + 0.0006))


def test_the_users_own_table_goes_first() -> None:
    stream = Ask(llm=PlacedLLM()).run([{"question": "?"}], prices={"gpt-4o-*": {"input": 1, "output": 1}})
    assert len(list(stream)) == 1
    assert stream.stats.cost == pytest.approx(0.002)


def test_another_server_has_no_price_so_a_cap_on_the_cost_stops_it() -> None:
    with pytest.raises(UnknownPriceError):
        Ask(llm=PlacedLLM(base_url="http://localhost:8000/v1")).run([{"question": "?"}], max_cost=1)


def test_the_readmes_code_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})


def test_importing_the_plugin_does_not_import_the_table() -> None:
    code = "import sys, limbeck_prices; sys.exit('genai_prices' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
