"""`run_tools`: what is asked, what is done, and what a model is told of its calls.

Covers `limbeck.tools._conversation`, `limbeck.tools._calls`, `limbeck.tools._offered` and `limbeck.tools._effects`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from limbeck.errors import (
    ConfigurationError,
    EffectError,
    GenerationError,
    PluginContractError,
    ToolError,
    TurnLimitError,
)
from limbeck.tools import Tool, ToolAnswer, run_tools, tool
from limbeck.types import Generation
from support.tool_talks import Talk, call, calling, results_in

QUESTION: list[Any] = [{"role": "user", "content": "How many people live in Madrid?"}]


@tool
def population(city: str) -> int:
    """The number of people in a city."""
    if city == "Atlantis":
        raise KeyError(city)
    return 1000 * len(city)


@tool
async def noon(zone: str = "UTC") -> dict[str, str]:
    """The time."""
    return {"time": "12:00", "zone": zone}


def talk(*script: Any, tools: Any = (population, noon), **options: Any) -> tuple[Talk, ToolAnswer]:
    """A conversation to its end."""
    held = Talk([*script])
    return held, held.run(run_tools(QUESTION, list(tools) if isinstance(tools, tuple) else tools, **options))


def fault_of(error: type[Exception], *script: Any, **options: Any) -> Any:
    with pytest.raises(error) as caught:
        talk(*script, **options)
    return caught.value


# The conversation


def test_an_answer_without_calls_is_the_end() -> None:
    held, answer = talk("3.4 million.")
    assert (answer.text, answer.turns) == ("3.4 million.", 1)
    assert answer.messages == [*QUESTION, {"role": "assistant", "content": "3.4 million."}]
    assert len(held.asked) == 1


def test_the_model_is_told_of_the_tools_with_each_request() -> None:
    held, _ = talk(calling(call("noon")), "Noon.")
    names = [[each["function"]["name"] for each in asked.parameters["tools"]] for asked in held.asked]
    assert names == [["population", "noon"]] * 2
    first = held.asked[0].parameters["tools"][0]
    assert first["function"]["description"] == "The number of people in a city."
    assert first["function"]["parameters"]["required"] == ["city"]


def test_calls_are_run_and_their_results_stand_behind_the_answer_in_its_order() -> None:
    calls = [call("noon", id="b"), call("population", '{"city": "Madrid"}', id="a")]
    held, answer = talk(calling(*calls, text="Let me see."), "6000 at noon.")
    chat = held.asked[1].messages
    assert chat == [
        *QUESTION,
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": '{"time": "12:00", "zone": "UTC"}'},
        {"role": "tool", "tool_call_id": "a", "content": "6000"},
    ]
    assert (answer.turns, answer.messages[:-1]) == (2, chat)


def test_calls_of_one_answer_are_done_side_by_side_under_the_tools_own_names() -> None:
    held, _ = talk(calling(call("noon", id="1"), call("noon", '{"zone": "CET"}', id="2")), "Noon.")
    assert held.done == [(2, "noon", ({},)), (2, "noon", ({"zone": "CET"},))]


def test_calls_are_done_one_after_the_other_where_they_are_not_parallel() -> None:
    held, _ = talk(calling(call("noon", id="1"), call("noon", id="2")), "Noon.", parallel=False)
    assert [turn for turn, *_ in held.done] == [2, 3]
    assert [asked.parameters["parallel_tool_calls"] for asked in held.asked] == [False, False]


def test_the_messages_of_the_caller_are_not_changed() -> None:
    talk(calling(call("noon")), "Noon.")
    assert QUESTION == [{"role": "user", "content": "How many people live in Madrid?"}]


def test_what_a_provider_wants_back_with_a_call_goes_along() -> None:
    signed = {**call("noon"), "extra_content": {"anthropic": {"content": []}}, "index": 0}
    held, _ = talk(calling(signed), "Noon.")
    (sent,) = held.asked[1].messages[1]["tool_calls"]
    assert sent == {**call("noon"), "extra_content": {"anthropic": {"content": []}}}


def test_parameters_schema_and_llm_are_those_of_each_request() -> None:
    critic, schema = object(), {"type": "object"}
    held, _ = talk(calling(call("noon")), "{}", llm=critic, schema=schema, parameters={"temperature": 0})
    assert [(asked.llm, asked.schema, asked.parameters["temperature"]) for asked in held.asked] == [
        (critic, schema, 0),
        (critic, schema, 0),
    ]


def test_without_tools_it_is_one_request_without_any() -> None:
    held, answer = talk("So.", tools=[])
    assert (answer.text, held.asked[0].parameters) == ("So.", {})


def test_one_tool_need_not_be_in_a_list() -> None:
    held, _ = talk("So.", tools=noon)
    assert len(held.asked[0].parameters["tools"]) == 1


def test_a_text_is_the_users_only_message() -> None:
    held = Talk(["So."])
    assert held.run(run_tools("Why?", [noon])).messages[0] == {"role": "user", "content": "Why?"}


# The choice of a tool


NOON = {"type": "function", "function": {"name": "noon"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", [None, None]),
        ("required", ["required", None]),
        ("noon", [{"type": "function", "function": {"name": "noon"}}, None]),
        (
            {"type": "function", "function": {"name": "noon"}},
            [{"type": "function", "function": {"name": "noon"}}, None],
        ),
        ("none", ["none", "none"]),
    ],
)
def test_what_is_required_is_required_of_the_first_answer_alone(choice: Any, sent: list[Any]) -> None:
    held, _ = talk(calling(call("noon")), "Noon.", tool_choice=choice)
    assert [asked.parameters.get("tool_choice") for asked in held.asked] == sent


@pytest.mark.parametrize("choice", ["moon", "any", {"function": {"name": "moon"}}, 5, None])
def test_a_choice_that_is_none_names_those_there_are(choice: Any) -> None:
    assert "'noon'" in str(fault_of(ConfigurationError, tool_choice=choice))


# Bounds


def test_a_model_that_calls_without_end_is_stopped_with_what_came_so_far() -> None:
    error = fault_of(TurnLimitError, *[calling(call("noon", id=str(n)), text=f"{n}") for n in range(3)], max_turns=3)
    assert (error.turns, error.raw) == (3, "2")
    assert [message["role"] for message in error.messages] == ["user", *["assistant", "tool"] * 2, "assistant"]


def test_calls_of_the_last_answer_are_not_run() -> None:
    held = Talk([calling(call("noon"))])
    with pytest.raises(TurnLimitError, match="asked once"):
        held.run(run_tools(QUESTION, [noon], max_turns=1))
    assert held.done == []


@pytest.mark.parametrize("turns", [0, -1, True, "8", 1.5])
def test_turns_are_a_whole_number_from_one_on(turns: Any) -> None:
    assert "max_turns" in str(fault_of(ConfigurationError, max_turns=turns))


# Malformed calls


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (call("population", '{"city": '), "not JSON"),
        (call("population", "[1]"), "one JSON object"),
        (call("population", '{"city": NaN}'), "not JSON"),
        (call("population", "[" * 600), "not JSON"),
        (call("population", '{"town": "Madrid"}'), "`city`"),
        (call("population", "{}"), "`city`"),
        (call("populaton", '{"city": "Madrid"}'), "Did you mean `population`"),
        (call(None), "no tool named ''"),
        (call(5), "no tool named ''"),
        ({"id": "x", "type": "custom", "custom": {"name": "noon", "input": ""}}, "no tool named ''"),
        ({"function": "noon"}, "no tool named ''"),
    ],
)
def test_a_call_that_cannot_be_run_is_told_to_the_model_as_its_result(bad: Any, words: str) -> None:
    held, answer = talk(calling(bad), "So.")
    (told,) = results_in(answer)
    assert told.startswith("Error: ")
    assert words in told
    assert held.done == []


def test_what_is_sent_back_of_a_malformed_call_is_what_every_provider_takes() -> None:
    held, _ = talk(calling(call("no such tool!", "{{{", id=None), call("population", "[1]", id="")), "So.")
    sent: Any = held.asked[1].messages[1]
    assert [(each["id"], each["function"]) for each in sent["tool_calls"]] == [
        ("call_1_0", {"name": "no_such_tool_", "arguments": "{}"}),
        ("call_1_1", {"name": "population", "arguments": "{}"}),
    ]


def test_the_good_calls_of_an_answer_are_run_beside_a_malformed_one() -> None:
    _, answer = talk(calling(call("nun", id="1"), call("noon", id="2")), "Noon.")
    first, second = results_in(answer)
    assert first.startswith("Error: There is no tool named 'nun'")
    assert json.loads(second)["time"] == "12:00"


def test_a_second_malformed_answer_in_a_row_is_an_error_that_says_what_was_wrong() -> None:
    error = fault_of(ToolError, calling(call("nun")), calling(call("population", "{"), text="Hm."))
    assert "twice in a row" in str(error)
    assert "not JSON" in str(error)
    assert (error.tool, error.raw) == ("population", "Hm.")


def test_a_good_answer_between_two_malformed_ones_lets_the_model_try_again() -> None:
    _, answer = talk(
        calling(call("nun", id="1")), calling(call("noon", id="2")), calling(call("nun", id="3")), "So.", max_turns=4
    )
    assert answer.text == "So."


# Odd answers


@pytest.mark.parametrize(
    "arguments", ['{"zone": "CET"}', {"zone": "CET"}, '"{\\"zone\\": \\"CET\\"}"', ' {"zone":\n"CET"} ']
)
def test_arguments_may_be_an_object_or_text_or_text_in_a_text(arguments: Any) -> None:
    held, _ = talk(calling(call("noon", arguments)), "So.")
    assert held.done == [(2, "noon", ({"zone": "CET"},))]
    sent: Any = held.asked[1].messages[1]
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"zone": "CET"}'


@pytest.mark.parametrize("arguments", [None, "", "  ", "null", "{}"])
def test_no_arguments_are_none(arguments: Any) -> None:
    held, _ = talk(calling(call("noon", arguments)), "So.")
    assert held.done == [(2, "noon", ({},))]


@pytest.mark.parametrize("name", [" noon", "noon ", "\nnoon\t"])
def test_spaces_around_a_name_are_no_part_of_it(name: str) -> None:
    held, _ = talk(calling(call(name)), "So.")
    sent: Any = held.asked[1].messages[1]
    assert [each["function"]["name"] for each in sent["tool_calls"]] == ["noon"]


def ids_in(held: Talk) -> list[str]:
    return [each["id"] for message in held.asked[-1].messages for each in message.get("tool_calls", ())]


@pytest.mark.parametrize("given", [[None, None], ["", " "], [5, {}], ["a", "a"]])
def test_calls_have_ids_of_their_own_whatever_came(given: list[Any]) -> None:
    held, answer = talk(calling(*[call("noon", id=each) for each in given]), "So.")
    ids = ids_in(held)
    assert len(set(ids)) == 2
    assert [message["tool_call_id"] for message in answer.messages if message["role"] == "tool"] == ids


def test_an_id_that_an_earlier_answer_had_is_another_call() -> None:
    held, _ = talk(calling(call("noon", id="call_0")), calling(call("noon", id="call_0")), "So.")
    assert len(set(ids_in(held))) == 2


def test_an_id_of_the_chat_before_is_taken_already() -> None:
    before: Any = {"role": "assistant", "content": None, "tool_calls": [call("noon", id="call_1_0")]}
    chat = [*QUESTION, before, {"role": "tool", "tool_call_id": "call_1_0", "content": "x"}]
    held = Talk([calling(call("noon", id=None)), "So."])
    held.run(run_tools(chat, [noon]))
    assert len(set(ids_in(held))) == 2


def test_empty_tool_calls_are_none() -> None:
    _, answer = talk(Generation(text="So.", tool_calls=[]))
    assert answer.messages[-1] == {"role": "assistant", "content": "So."}


# Tools that fail


def test_what_a_tool_raises_is_told_to_the_model() -> None:
    _, answer = talk(calling(call("population", '{"city": "Atlantis"}')), "Nobody knows.")
    assert results_in(answer) == ["Error: `population` raised KeyError: 'Atlantis'"]
    assert answer.text == "Nobody knows."


def test_what_a_tool_raises_is_raised_where_that_is_asked_for() -> None:
    error = fault_of(EffectError, calling(call("population", '{"city": "Atlantis"}')), on_error="raise")
    assert "KeyError" in str(error)


@pytest.mark.parametrize("policy", ["ignore", None, "return"])
def test_another_policy_is_refused(policy: Any) -> None:
    assert "'tell' or 'raise'" in str(fault_of(ConfigurationError, on_error=policy))


class Thing:
    pass


@pytest.mark.parametrize("result", [{1, 2}, Thing(), float("nan"), {"a": b"x"}, {("a",): 1}])
@pytest.mark.parametrize("policy", ["tell", "raise"])
def test_a_result_that_json_cannot_hold_is_an_error_and_not_the_models_to_mend(result: Any, policy: Any) -> None:
    def odd() -> Any:
        return result

    error = fault_of(GenerationError, calling(call("odd")), "So.", tools=[odd], on_error=policy)
    assert "JSON cannot hold" in str(error)
    assert "`odd`" in str(error)


@pytest.mark.parametrize(
    ("result", "content"),
    [("Só.", "Só."), ("", ""), (None, "null"), (True, "true"), (1.5, "1.5"), (["é", 1], '["é", 1]'), ({}, "{}")],
)
def test_a_result_is_text_as_it_is_or_json(result: Any, content: str) -> None:
    def say() -> Any:
        return result

    _, answer = talk(calling(call("say")), "So.", tools=[say])
    assert results_in(answer) == [content]


# The tools


def test_two_tools_of_one_name_are_refused() -> None:
    other = Tool(lambda: 1, name="noon")
    assert "'noon'" in str(fault_of(ConfigurationError, tools=[noon, other]))


@pytest.mark.parametrize("odd", [5, None, object(), Thing, {"name": "x"}, {"tool": 5}])
def test_what_is_no_tool_is_refused(odd: Any) -> None:
    with pytest.raises((ConfigurationError, PluginContractError)):
        talk(tools=[odd])


class Dice:
    """A tool of a plugin's own class."""

    name = "dice"
    description = "Rolls."
    parameters: ClassVar[Any] = {
        "type": "object",
        "properties": {"sides": {"type": "integer", "minimum": 2}},
        "required": ["sides"],
    }
    timeout = 3.0
    max_concurrency = 1

    def call(self, arguments: dict[str, Any]) -> Any:
        return arguments["sides"]


def test_an_object_with_the_members_of_a_tool_is_one() -> None:
    held, answer = talk(calling(call("dice", '{"sides": 6}')), "Six.", tools=[Dice()])
    assert results_in(answer) == ["6"]
    assert held.asked[0].parameters["tools"][0]["function"] == {
        "name": "dice",
        "description": "Rolls.",
        "parameters": Dice.parameters,
    }


def test_arguments_are_checked_against_the_schema_of_any_tool() -> None:
    held, answer = talk(calling(call("dice", '{"sides": 1}')), "So.", tools=[Dice()])
    assert "minimum" in results_in(answer)[0]
    assert held.done == []


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/$defs/nowhere"}, {"pattern": "("}])
def test_a_schema_that_cannot_be_checked_is_left_to_the_tool(schema: Any) -> None:
    class Odd(Dice):
        parameters: ClassVar[Any] = schema

    _, answer = talk(calling(call("dice", '{"sides": 6}')), "Six.", tools=[Odd()])
    assert results_in(answer) == ["6"]


class Toolbox:
    """A set of tools."""

    def __init__(self, name: str = "box", **tools: Any) -> None:
        self.name = name
        self.tools = tools

    async def list_tools(self) -> list[dict[str, Any]]:
        return [{"name": name, "description": "", "parameters": {"type": "object"}} for name in self.tools]

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        return self.tools[name](arguments)


def test_a_set_is_asked_for_its_tools_as_an_effect_and_they_are_called_by_its_own_names() -> None:
    tools: dict[str, Any] = {"files/read": lambda given: given["path"], "stat": len}
    box = Toolbox(**tools)
    held, answer = talk(calling(call("files_read", '{"path": "a.txt"}')), "So.", tools=[box, noon])
    names = [each["function"]["name"] for each in held.asked[0].parameters["tools"]]
    assert names == ["files_read", "stat", "noon"]
    assert results_in(answer) == ["a.txt"]
    assert held.done == [
        (1, "Toolbox.list_tools of box", ()),
        (3, "files_read", ("files/read", {"path": "a.txt"})),
    ]


def test_several_sets_are_asked_side_by_side() -> None:
    held, _ = talk("So.", tools=[Toolbox("a", one=len), Toolbox("b", two=len)])
    assert [(turn, name) for turn, name, _ in held.done] == [
        (1, "Toolbox.list_tools of a"),
        (1, "Toolbox.list_tools of b"),
    ]


def test_a_set_that_fails_to_list_its_tools_is_an_error() -> None:
    class Broken(Toolbox):
        async def list_tools(self) -> Any:
            raise OSError("no route")

    assert "no route" in str(fault_of(EffectError, tools=[Broken()]))


@pytest.mark.parametrize("given", [5, [5], [{}], ["x"], [{"name": None}]])
def test_a_set_that_lists_something_else_is_told_so(given: Any) -> None:
    class Odd(Toolbox):
        async def list_tools(self) -> Any:
            return given

    assert "list_tools" in str(fault_of(PluginContractError, tools=[Odd()]))


def test_calls_of_one_tool_are_bounded_together_and_those_of_others_are_not() -> None:
    box = Toolbox(one=len, two=len)
    held = run_tools(QUESTION, [box, population])
    listing = next(held)
    held.send([[{"name": "one"}, {"name": "two"}]])
    calls = [call("one", id="1"), call("one", id="2"), call("two", id="3"), call("population", '{"city": ""}', id="4")]
    one, again, two, other = held.send(calling(*calls))
    assert one.function == again.function
    assert hash(one.function) == hash(again.function)
    assert len({one.function, two.function, other.function, listing[0].function}) == 4


def test_a_set_that_has_to_be_opened_may_take_longer_than_one_call() -> None:
    box: Any = Toolbox(one=len)
    box.timeout, box.deadline = 1.0, 9.0
    (listing,) = next(run_tools(QUESTION, box))
    assert listing.timeout == 9.0


def test_a_tools_bounds_are_those_of_its_effects() -> None:
    held = run_tools(QUESTION, [Dice()])
    next(held)
    (effect,) = held.send(calling(call("dice", '{"sides": 6}')))
    assert (effect.timeout, effect.max_concurrency) == (3.0, 1)
