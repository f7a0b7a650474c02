"""Templates: what they see, what they refuse, and that one column needs no Jinja."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import ConfigurationError
from limbeck.types import Row
from limbeck_tasks.jinja import JinjaTemplate
from limbeck_tasks.templates import prompt_template


def render(source: str, row: Row, columns: list[str] | None = None) -> str:
    return prompt_template(source).render(row, list(row) if columns is None else columns)


def test_a_template_is_compiled_once() -> None:
    source = "{{ a }} and {{ b }}"
    assert prompt_template(source) is prompt_template(source)


def test_variables_come_in_the_order_they_appear() -> None:
    assert prompt_template("{{ z }} {% for x in m %}{{ x }}{{ a }}{% endfor %}{{ z }}").variables == ("z", "m", "a")


def test_a_variable_under_a_filter_is_a_variable() -> None:
    assert prompt_template("{{ q | upper }}").variables == ("q",)


@pytest.mark.parametrize("source", ["{% set x = 1 %}{{ x }}", "{% for i in range(3) %}{{ i }}{% endfor %}", "plain"])
def test_what_the_template_makes_itself_is_no_variable(source: str) -> None:
    assert prompt_template(source).variables == ()


@pytest.mark.parametrize(
    "name",
    [
        "q",
        "instruction",
        "_x",
        "größe",
        "数",
        "x1",
        "class",
        "import",
        "if",
        "in",
        "and",
        "loop",
        "super",
        "caller",
        "true",
        "True",
        "none",
        "None",
        "false",
        "self",
        "range",
        "dict",
        "namespace",
        "lipsum",
        "cycler",
        "joiner",
    ],
)
def test_one_column_alone_is_read_as_jinja_reads_it(name: str) -> None:
    ours, jinjas = prompt_template(f"{{{{ {name} }}}}"), JinjaTemplate(f"{{{{ {name} }}}}")
    assert ours.variables == jinjas.variables
    assert ours.may_use(name) == jinjas.may_use(name)


@given(
    st.one_of(
        st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
    )
)
def test_one_column_alone_is_written_as_jinja_writes_it(value: object) -> None:
    row = {"q": value}
    assert prompt_template("{{ q }}").render(row, ["q"]) == JinjaTemplate("{{ q }}").render(row, ["q"])


@pytest.mark.parametrize("source", ["{{q}}", "{{ q }}"])
def test_text_is_rendered_as_it_is(source: str) -> None:
    text = "<b>&amp; {{ not a template }} \ud83d 数 \x00\n"
    assert render(source, {"q": text}) == text
    assert render("> " + source, {"q": text}) == "> " + text


def test_an_empty_text_renders_as_nothing() -> None:
    assert render("{{ q }}", {"q": ""}) == ""
    assert render("[{{ q }}]", {"q": ""}) == "[]"


@pytest.mark.parametrize(
    "source",
    ["{{ q }}", "Q: {{ q }}", "{{ q | upper }}", "{{ 'Q: ' ~ q }}", "{{ q.a }}", "{% for x in q %}{% endfor %}"],
)
def test_a_null_column_is_an_error_that_names_it(source: str) -> None:
    with pytest.raises(ValueError, match="column `q` is null"):
        render(source, {"q": None})


@pytest.mark.parametrize(
    "source",
    [
        "{% if q %}{{ q }}{% else %}nothing{% endif %}",
        "{{ q or 'nothing' }}",
        "{{ q | default('nothing') }}",
        "{{ 'nothing' if q is none }}",
        "{{ 'nothing' if q == none }}",
        "{{ 'nothing' if q in [none] }}",
        "{{ 'nothing' if q is not defined }}",
        "{{ {none: 'nothing'}[q] }}",
    ],
)
def test_a_template_may_provide_for_null(source: str) -> None:
    assert render(source, {"q": None}) == "nothing"


def test_a_null_inside_a_value_is_an_error_rather_than_the_text_none() -> None:
    with pytest.raises(ValueError, match="an expression in the template is null"):
        render("{{ user.name }}", {"user": {"name": None}})


def test_a_key_that_a_value_lacks_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="has no attribute 'nmae'"):
        render("{{ user.nmae }}", {"user": {"name": "Ada"}})


@pytest.mark.parametrize("key", ["items", "values", "keys", "pop", "update"])
def test_a_key_with_the_name_of_a_method_is_the_key(key: str) -> None:
    assert render(f"{{{{ of.{key} }}}}", {"of": {key: ["x"]}}) == "['x']"
    assert render(f"{{{{ of['{key}'] }}}}", {"of": {key: ["x"]}}) == "['x']"
    assert render(f"{{{{ of | map(attribute='{key}') | first }}}}", {"of": [{key: "x"}]}) == "x"


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.title }}",
        "{{ text['title'] }}",
        "{{ of.items }}!",
        "{{ 'x' if of.items }}",
        "{{ list | attr('count') }}",
    ],
)
def test_a_method_is_never_a_value_and_the_error_says_how_it_is_called(source: str) -> None:
    with pytest.raises(ValueError, match=r"has no key '\w+'; to call its method, write `.\w+\(\)`"):
        render(source, {"text": "a text", "of": {"a": 1}, "list": [1]}, columns=["text", "of", "list"])


def test_an_attribute_of_a_plain_value_is_no_key_of_it() -> None:
    with pytest.raises(ValueError, match="a `int` has no key 'real'"):
        render("{{ n.real }}", {"n": 1})


def test_a_method_that_is_called_comes_before_a_key_of_its_name() -> None:
    source = "{% for key, value in of.items() %}{{ key }}={{ value }};{% endfor %}{{ text.upper() }}"
    assert render(source, {"of": {"items": 1, "b": 2}, "text": "x"}) == "items=1;b=2;X"


def test_a_key_that_is_missing_can_be_tested_and_defaulted_though_a_method_has_its_name() -> None:
    assert render("{{ of.values | default('none') }}{{ of.items is defined }}", {"of": {}}) == "noneFalse"


def test_a_function_is_not_rendered() -> None:
    with pytest.raises(ValueError, match="is a function, not a value"):
        render("{{ q }}{{ range }}", {"q": "x"})


def test_json_in_a_prompt_is_as_it_is_and_plain_text() -> None:
    record = {"title": "Café <b> & 'tea'", "数": [1, None, float("nan"), float("-inf")]}
    text = """{"title": "Café <b> & 'tea'", "数": [1, null, null, null]}"""
    assert render("{{ record | tojson }}", {"record": record}) == text
    assert render("{{ (record | tojson) + '<' }}", {"record": record}) == text + "<"
    assert render("{{ record.title | tojson(indent=2) }}", {"record": record}) == """\"Café <b> & 'tea'\""""
    assert render("{{ [n, n] | tojson(indent=1) }}", {"n": 1}) == "[\n 1,\n 1\n]"


def test_only_the_columns_are_seen() -> None:
    with pytest.raises(ValueError, match="'secret' is undefined"):
        render("{{ q }} {{ secret }}", {"q": "x", "secret": "y"}, columns=["q"])


def test_a_column_may_have_the_name_of_a_function_of_jinja() -> None:
    assert render("{{ range }}!", {"range": "wide"}) == "wide!"
    assert render("{{ dict }}", {"dict": "Duden"}) == "Duden"
    assert render("{{ x }} {{ range }}", {"x": 1, "range": 2}) == "1 2"
    assert prompt_template("{{ x }} {{ range }}").variables == ("x", "range")


def test_a_column_named_self_is_read() -> None:
    assert prompt_template("You are {{ self }}.").variables == ("self",)
    assert render("You are {{ self }}.", {"self": "S"}) == "You are S."
    assert render("{{ self }}", {"self": "S"}) == "S"
    with pytest.raises(ValueError, match="column `self` is null"):
        render("You are {{ self }}.", {"self": None})
    with pytest.raises(ValueError, match="'self' is undefined"):
        render("You are {{ self }}.", {"q": "x"})


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ q.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ (q | attr('__class__')).x }}",
    ],
)
def test_the_sandbox_gives_nothing_of_python_away(source: str) -> None:
    from jinja2.exceptions import SecurityError

    with pytest.raises((SecurityError, ValueError)):
        render(source + "{{ q }}", {"q": "x"})


def test_a_template_cannot_change_the_row() -> None:
    from jinja2.exceptions import SecurityError

    row = {"items": [1]}
    with pytest.raises(SecurityError):
        render("{{ items.append(2) or '' }}", row)
    assert row == {"items": [1]}


@pytest.mark.parametrize(
    ("source", "line", "shown"),
    [
        ("one\n{{ two three }}", 2, "'{{ two three }}'"),
        ("{% if x %}", 1, "'{% if x %}'"),
        ("a\nb\n{{ q | uper }}", 3, "No filter named 'uper'"),
        ("{{ q", 1, "unexpected end of template"),
        ("{{ q is defned }}", 1, "No test named 'defned'"),
    ],
)
def test_a_syntax_error_is_a_configuration_error_with_its_line(source: str, line: int, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prompt_template(source)
    assert f"line {line}" in str(caught.value)
    assert shown in str(caught.value)


@pytest.mark.parametrize("source", ["{% include 'x' %}", "{% extends x %}", "{% import 'y' as z %}{{ z.m() }}"])
def test_a_template_stands_alone(source: str) -> None:
    with pytest.raises(ConfigurationError, match="stands alone"):
        prompt_template(source)


def test_a_chat_in_place_of_text_is_pointed_to_its_task() -> None:
    with pytest.raises(TypeError, match="`chat-generation` takes messages"):
        render("{{ q }}", {"q": [{"role": "user", "content": "hi"}]})


def test_ten_megabytes_go_through() -> None:
    text = "ü" * 10_000_000
    assert render("{{ q }}", {"q": text}) == text
    assert len(render("{{ q }}{{ q }}", {"q": text})) == 20_000_000
