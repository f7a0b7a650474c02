"""Tools by name: registered, declared and from hooks; and as the field of a task.

Covers `limbeck.tools._fields` and `limbeck.tools._tool.get_tool`.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, TypeAdapter

import limbeck
from limbeck import get_tool, hookimpl, list_tools, register_plugin, register_tool
from limbeck.errors import ConfigurationError, PluginContractError, RegistrationError, UnknownNameError
from limbeck.testing import registry
from limbeck.tools import Tool, ToolsField, tool, tool_of
from support.packs import seeing_only, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACK = '''
class Box:
    def __init__(self, size=1):
        self.size = size
    async def list_tools(self):
        return []
    async def call_tool(self, name, arguments):
        return ""

class Dice:
    name, description, parameters = "dice", "", {}
    def call(self, arguments):
        return 6

def search(query: str) -> str:
    """Search."""
    return query

dice = Dice()
nothing = object()
'''


def search(query: str, limit: int = 3) -> str:
    """Search."""
    return query * limit


@tool
def decorated(query: str) -> str:
    """Search again."""
    return query


class Shelf(BaseModel):
    """A set of tools with fields."""

    size: int = 1
    colour: str = "red"

    async def list_tools(self) -> list[dict[str, Any]]:
        return []

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        return ""


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    with registry():
        yield


@pytest.fixture
def packs(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


# Names


def test_a_registered_function_is_had_as_a_tool() -> None:
    register_tool("web-search", search)
    assert "web-search" in list_tools()
    assert get_tool("web-search") == Tool(search)


def test_a_registered_tool_is_had_as_it_is() -> None:
    assert register_tool("again", decorated) is decorated
    assert get_tool("again") is decorated


def test_a_function_is_registered_by_a_decorator_and_stays_a_function() -> None:
    @register_tool("say-it")
    def say(word: str) -> str:
        return word

    assert say("x") == "x"
    assert get_tool("say-it").name == "say"


def test_a_registered_class_is_made_with_its_fields() -> None:
    register_tool("shelf", Shelf)
    assert get_tool("shelf", size=3) == Shelf(size=3)


def test_fields_are_for_classes_alone() -> None:
    register_tool("web-search", search)
    with pytest.raises(ConfigurationError, match="'limit'"):
        get_tool("web-search", limit=5)


@pytest.mark.parametrize("odd", [5, "search", object(), dict, Exception("x")])
def test_what_is_no_tool_cannot_be_registered(odd: Any) -> None:
    with pytest.raises(PluginContractError):
        register_tool("odd", odd)


def test_another_tool_cannot_take_a_name() -> None:
    register_tool("web-search", search)
    register_tool("web-search", search)
    with pytest.raises(RegistrationError, match="'web-search'"):
        register_tool("web-search", decorated)
    assert register_tool("web-search", decorated, replace=True) is decorated


def test_an_unknown_name_lists_those_that_are_known() -> None:
    register_tool("web-search", search)
    with pytest.raises(UnknownNameError, match="Did you mean `web-search`"):
        get_tool("web-serch")


def test_an_official_tool_that_is_not_installed_says_how_to_have_it(packs: Path) -> None:
    with pytest.raises(UnknownNameError, match="pip install limbeck-mcp"):
        get_tool("mcp")


@pytest.mark.parametrize(("name", "kind"), [("search", "Tool"), ("dice", "Dice"), ("box", "Box")])
def test_a_pack_declares_functions_objects_and_classes(packs: Path, name: str, kind: str) -> None:
    points = "[limbeck.tools]\nsearch = acme:search\ndice = acme:dice\nbox = acme:Box\n"
    write_pack(packs, "acme", points, acme=PACK)
    assert list_tools() == ["box", "dice", "search"]
    assert type(get_tool(f"acme/{name}")).__name__ == kind


def test_a_declared_object_that_is_no_tool_is_its_packs_fault(packs: Path) -> None:
    write_pack(packs, "acme", "[limbeck.tools]\nnothing = acme:nothing\n", acme=PACK)
    with pytest.raises(PluginContractError, match=r"The tool 'nothing' of acme 1\.0"):
        get_tool("nothing")


def test_a_hook_may_register_tools() -> None:
    class Plugin:
        @hookimpl
        def limbeck_register(self, registry: Any) -> None:
            registry.tool("web-search", search)

    register_plugin(Plugin())
    assert get_tool("web-search").name == "search"


def test_the_face_of_the_package_has_tools_too() -> None:
    assert limbeck.run_tools is not None
    assert limbeck.tool is tool


# What stands for a tool


def test_a_function_a_name_and_a_mapping_stand_for_tools() -> None:
    register_tool("shelf", Shelf)
    register_tool("web-search", search)
    made = [tool_of(search), tool_of("web-search"), tool_of({"tool": "shelf", "size": 2})]
    assert made == [Tool(search), Tool(search), Shelf(size=2)]


def test_a_class_is_not_an_instance() -> None:
    with pytest.raises(ConfigurationError, match=r"`Shelf\(…\)`"):
        tool_of(Shelf)


# A field of a task

FIELD: TypeAdapter[Any] = TypeAdapter(ToolsField)


def test_a_field_of_tools_is_read_from_its_configuration_and_written_as_one() -> None:
    register_tool("shelf", Shelf)
    register_tool("web-search", search)
    config = ["web-search", {"tool": "shelf", "size": 2}]
    tools = FIELD.validate_python(config)
    assert tools == [Tool(search), Shelf(size=2)]
    assert FIELD.dump_python(tools, mode="json") == config


def test_a_tool_without_a_name_is_written_as_its_place() -> None:
    assert FIELD.dump_python([Tool(search)]) == [f"{__name__}:search"]


def test_a_field_of_one_tool_needs_no_list() -> None:
    assert FIELD.validate_python(search) == [Tool(search)]


def test_a_fields_tools_are_pickled() -> None:
    tools = FIELD.validate_python([search, decorated, Shelf(size=2)])
    assert pickle.loads(pickle.dumps(tools)) == tools
