"""Prices: the user's own table, then plugins; unknown is unknown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import hookimpl, register_plugin
from limbeck._engine.money.prices import PriceTable, Pricing, price_table
from limbeck._registry.registry import default_registry
from limbeck.errors import ConfigurationError, LimbeckWarning, PluginContractError
from limbeck.testing import EchoLLM, registry
from limbeck.types import Usage
from support.packs import seeing_only
from support.questions import Ask, questions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = Usage(input_tokens=1_000_000, cached_tokens=400_000, output_tokens=100_000, reasoning_tokens=50_000)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


def pricing(model: str = "echo", **entries: Any) -> Pricing:
    table = PriceTable(entries["table"]) if "table" in entries else None
    return Pricing(EchoLLM(model=model), table=table, registry=default_registry())


def test_input_cached_input_and_output_have_their_prices_and_reasoning_is_output() -> None:
    price = PriceTable({"m": {"input": 10, "cached": 1, "output": 20}}).price("m")
    assert price is not None
    assert price.cost(FULL) == pytest.approx(0.6 * 10 + 0.4 * 1 + 0.1 * 20)


def test_cached_input_costs_what_input_does_where_the_table_does_not_say() -> None:
    price = PriceTable({"m": {"input": 10, "output": 20}}).price("m")
    assert price is not None
    assert price.cost(FULL) == pytest.approx(12)


def test_an_exact_name_goes_before_a_pattern_and_an_earlier_pattern_before_a_later_one() -> None:
    names = ["acme-*", "acme-large", "*"]
    table = PriceTable({name: {"input": place, "output": 0} for place, name in enumerate(names)})
    found = [table.price(model) for model in ("acme-small", "acme-large", "other")]
    assert [price.input for price in found if price is not None] == [0, 1, 2]


def test_a_model_may_be_named_with_its_provider() -> None:
    assert pricing(table={"limbeck.testing.llms:EchoLLM/echo": {"input": 1, "output": 1}}).known


def test_a_model_that_nothing_knows_has_no_price() -> None:
    assert not pricing().known
    assert pricing().cost(FULL) is None
    assert pricing().bound(10, 10) is None


def test_an_answer_that_does_not_say_its_tokens_has_no_cost() -> None:
    assert pricing(table={"echo": {"input": 1, "output": 1}}).cost(None) is None


@pytest.mark.parametrize("tokens", [0, 1, 31, 33, 1_000, 123_457])
def test_a_bound_is_the_price_of_as_many_tokens_or_up_to_a_sixteenth_more(tokens: int) -> None:
    bound = pricing(table={"echo": {"input": 1, "output": 0}}).bound(tokens, 0)
    assert bound is not None
    assert tokens <= round(bound * 1_000_000) <= tokens * 17 / 16


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ([1], "prices: expected a mapping of models to prices, such as .*, not list"),
        ({3: {}}, "prices: 3: a model's name must be text, not 3 .int.. Put it in quotes"),
        ({"m": 3}, "prices: m: expected a mapping such as .*, not 3 .int."),
        ({"m": {"input": 1}}, "prices: m: the price `output` is missing: US dollars for a million tokens"),
        (
            {"m": {"input": "cheap", "output": 1}},
            "prices: m.input: expected a number, 0 or more, .*, not 'cheap' .str.",
        ),
        ({"m": {"input": -1, "output": 1}}, "prices: m.input: expected a number, 0 or more"),
        ({"m": {"input": True, "output": 1}}, "prices: m.input: expected a number"),
        ({"m": {"input": float("inf"), "output": 1}}, "prices: m.input: expected a number"),
        ({"m": {"inptu": 1}}, "prices: m: there is no price 'inptu'. Did you mean `input`?"),
        ({"m": {"5": {"input": 1}}}, "In TOML a name with dots stands in quotes"),
    ],
)
def test_a_table_that_is_wrong_says_where_and_what_belongs_there(prices: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        price_table(prices)


TABLES = {
    "prices.json": json.dumps({"gpt-5.1": {"input": 1, "output": 2}}),
    "prices.toml": '["gpt-5.1"]\ninput = 1\noutput = 2\n',
    "prices.yaml": "gpt-5.1: {input: 1, output: 2}\n",
}


# The core alone has no reader of YAML.
NAMES = ["prices.json", "prices.toml", pytest.param("prices.yaml", marks=pytest.mark.workspace)]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_may_be_a_file(alone: Path, name: str) -> None:
    path = alone / name
    path.write_text(TABLES[name], encoding="utf-8")
    table = price_table(str(path))
    assert table is not None
    assert table.price("gpt-5.1") is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_cannot_be_read_is_named(alone: Path, name: str) -> None:
    path = alone / name
    path.write_text("{[", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"(?s){name}: the price table cannot be read: .*line 1"):
        price_table(path)


def test_a_file_that_is_not_there_is_named(alone: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.json: the price table cannot be read: No such file"):
        price_table(alone / "none.json")


def test_a_file_of_another_kind_is_refused(alone: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"prices.txt: a price table is a .yaml, .json or .toml file"):
        price_table(alone / "prices.txt")


def test_a_fault_in_a_file_says_the_file(alone: Path) -> None:
    path = alone / "prices.json"
    path.write_text('{"m": {"input": "x", "output": 1}}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"prices.json: m.input: expected a number"):
        price_table(path)


class Knows:
    """A plugin that knows one model, and remembers what it was asked."""

    def __init__(self, model: str, answer: Any) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._model = model
        self._answer = answer

    @hookimpl
    def limbeck_price(self, model: str, provider: str, base_url: str | None) -> Any:
        self.asked.append((provider, base_url))
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer if model == self._model else None


def test_a_plugin_is_asked_for_what_the_table_lacks() -> None:
    with registry():
        plugin = Knows("echo", 0.5)
        register_plugin(plugin)
        assert pricing().cost(FULL) == 0.5
        assert pricing(table={"other": {"input": 1, "output": 1}}).cost(FULL) == 0.5
        assert plugin.asked[0] == ("limbeck.testing.llms:EchoLLM", None)
        assert pricing(table={"echo": {"input": 1, "output": 0}}).cost(FULL) == 1.0


def test_the_first_plugin_that_knows_counts() -> None:
    with registry():
        register_plugin(Knows("echo", 0.5), name="one")
        register_plugin(Knows("other", 0.7), name="two")
        assert pricing("echo").cost(FULL) == 0.5
        assert pricing("other").cost(FULL) == 0.7


@pytest.mark.parametrize("answer", [RuntimeError("down"), SystemExit(1), -1, "free", float("nan")])
def test_a_plugin_that_fails_or_gives_no_amount_is_reported_and_the_next_one_is_asked(answer: Any) -> None:
    with registry() as fresh:
        register_plugin(Knows("echo", 0.5), name="good")
        register_plugin(Knows("echo", answer), name="bad-prices")
        with pytest.warns(LimbeckWarning, match="A hook failed and was ignored: bad-prices: limbeck_price"):
            assert pricing().cost(FULL) == 0.5
        assert [problem.kind for problem in fresh.report.all()] == ["hook"]


def test_a_price_hook_with_a_wrong_argument_is_refused() -> None:
    class Wrong:
        @hookimpl
        def limbeck_price(self, tokens: int) -> None:
            """Has an argument that the hook lacks."""

    with registry(), pytest.raises(PluginContractError):
        register_plugin(Wrong())


def test_what_a_run_costs_is_in_its_counters() -> None:
    stream = Ask(llm=EchoLLM()).run(questions(3), prices={"echo": {"input": 1, "output": 2_000_000}})
    assert len(list(stream)) == 3
    assert stream.stats.cost == pytest.approx(3 * 2.0)


def test_a_run_whose_price_nobody_knows_has_no_cost() -> None:
    stream = Ask(llm=EchoLLM()).run(questions(3))
    assert len(list(stream)) == 3
    assert stream.stats.cost is None
