"""Templates of a stranger: plain data in, text out; no escape runs, all work ends, and what is harmless works."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from command_line import Run, in_process
from hostile_cases import Outside, check_end, harmless, outside
from made_tasks import TEMPLATE, task_file
from popbench.prompting.sandbox import ATTRIBUTES, FILTERS, GLOBALS, Sandbox, plain
from popbench.prompting.templates import VARIABLES, Template, variables
from popbench.records import Prompt, Reference
from popbench.tasks.schema import DraftRules
from template_attacks import ESCAPES, HEAVY, PICKLE, USUAL
from usage_errors import refusal

PROMPT = Prompt("p1", "A cat on a mat", "Pets", "mine")
REFERENCES = (
    Reference("1", "First", "d1", "c1", "tag", 5.0, Path("/videos/1.mp4"), popular=True),
    Reference("2", "Second", "d2", "c2", "tag", 1.5, popular=False),
    Reference("3", "Third <b>", "d3 %s", "{{ c3 }}", "other", 7, popular=True),
)
PLAIN = (str, int, float, bool, type(None), list, tuple, dict)


def template(folder: Path, user: str) -> Template:
    path = folder / "main.j2"
    path.write_text("{% block system %}{% endblock %}{% block user %}" + user + "{% endblock %}", encoding="utf-8")
    return Template(path)


def rendered(folder: Path, user: str) -> str:
    return template(folder, user).render(PROMPT, DraftRules(), REFERENCES)[-1]["content"]


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


# -- escapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A task's folder beside one that nothing may read; and a canary that only code which is run would make."""
    top = tmp_path_factory.mktemp("escapes")
    (top / "task").mkdir()
    (top / "task" / "parts.j2").write_text("{% macro m() %}part{% endmacro %}", encoding="utf-8")
    outside(top / "outside")
    yield top / "task"
    assert not (top / "canary").exists()


@pytest.mark.parametrize("user", ESCAPES)
def test_no_escape_from_a_template_runs(user: str, folder: Path) -> None:
    text = user.replace("CANARY", str(folder.parent / "canary"))
    message = refusal(lambda: rendered(folder, "x" + text))
    assert message.startswith(str(folder / "main.j2"))
    assert not (folder.parent / "canary").exists()


COMMANDS = (["task", "validate"], ["task", "show"], ["eval", "--dry-run", "--task"], ["eval", "--out", "run", "--task"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_renders_a_template_refuses_one_that_would_run_code(
    command: list[str], popbench: Run, of: Outside, tmp_path: Path
) -> None:
    path = task_file(tmp_path / "task")
    for call in (ESCAPES[-1], f'{{{{ draft.parse_raw("{PICKLE}", proto="pickle", allow_pickle=true) }}}}'):
        text = TEMPLATE.replace("{{ prompt }}", "{{ prompt }}" + call.replace("CANARY", str(of.canary)))
        (path.parent / "basic.j2").write_text(text, encoding="utf-8")
        with harmless(of):
            done = popbench(*command, path)
        check_end(done, plain=False)
        assert done.status == 2
        assert "basic.j2" in done.line


# -- work without end

ENDLESS = ("more work", "takes a text", "Range too big", "nested too deeply", "numbers only", "Exceeds the limit")


@pytest.mark.slow
@pytest.mark.parametrize("case", HEAVY)
def test_a_template_ends_whatever_it_does(case: str, of: Outside, tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / f"i{n}.j2").write_text(f"{{% include 'i{n + 1}.j2' %}}" * 2 if n < 39 else "", encoding="utf-8")
    with harmless(of):
        message = refusal(lambda: rendered(tmp_path, HEAVY[case]))
    assert any(told in message for told in ENDLESS), message


@pytest.mark.parametrize(
    "source",
    ["{{ " * 20_000, "{{ " + "(" * 20_000 + ")" * 20_000 + " }}", "{{ " + "not " * 20_000 + "1 }}",
     "{{ " + "[" * 20_000 + "]" * 20_000 + " }}", "{% if 1 %}" * 500 + "{% endif %}" * 500,
     ("{{ " + "not " * 50 + "draft }}") * 700, "{{ draft" + ".b" * 300 + " }}", "{{ draft" + " | e" * 59 + " }}" * 300,
     "{{ {" + "draft: 1, " * 9000 + "} }}", "{% macro m(a) %}" * 40 + "{{ draft }}" * 9000 + "{% endmacro %}" * 40,
     "{% macro m(caller) %}{{ caller() }}{% endmacro %}{{ m() }}", "{{ 0x" + "f" * 5000 + " }}", "{{ '\\ud800' }}",
     "{% for x in [1] %}" * 30 + "{% endfor %}" * 30, "{{ " + "1 + " * 20_000 + "1 }}", "{{ 'x' * 10000000000 }}"],
    ids=["text", "brackets", "nots", "lists", "ifs", "nots-again", "attributes", "filters", "keys", "macros", "caller",
         "number", "half-a-character", "fors", "sums", "constant"],
)  # fmt: skip
def test_a_template_that_is_hard_to_compile_is_one_line(source: str, of: Outside, tmp_path: Path) -> None:
    with harmless(of):
        message = refusal(lambda: rendered(tmp_path, source))
    assert message.startswith(str(tmp_path / "main.j2"))


@pytest.mark.parametrize("part", ["{{ prompt | nosuch }}", "{{ prompt is nosuch }}", "{% block a %}{% endblock %}" * 2])
def test_what_is_wrong_in_an_included_file_is_one_line(part: str, tmp_path: Path) -> None:
    (tmp_path / "part.j2").write_text(part, encoding="utf-8")
    assert "part.j2" in refusal(lambda: rendered(tmp_path, "{% include 'part.j2' %}"))


def test_nothing_of_one_prompt_gets_into_the_messages_of_another(tmp_path: Path) -> None:
    keep = "{% set ns = namespace(n='') %}{% macro m(p) %}{% set ns.n = ns.n ~ p %}{{ ns.n }}{% endmacro %}"
    (tmp_path / "keep.j2").write_text(keep, encoding="utf-8")
    made = template(tmp_path, "{% from 'keep.j2' import m %}{{ m(prompt) }}")
    for text in ("first", "second"):
        assert made.render(dataclasses.replace(PROMPT, text=text), DraftRules(), ())[-1]["content"] == text


def test_a_template_is_made_of_a_hundred_files_at_most(tmp_path: Path) -> None:
    for n in range(101):
        (tmp_path / f"i{n}.j2").write_text(f"{{% include 'i{n + 1}.j2' %}}" if n < 100 else "", encoding="utf-8")
    assert "more than 100 files" in refusal(lambda: rendered(tmp_path, "{% include 'i0.j2' %}"))


def test_a_prompt_of_a_megabyte_and_a_hundred_long_references_are_no_work(tmp_path: Path) -> None:
    made = template(tmp_path, "{{ prompt | trim }}{% for one in references %}{{ one.title ~ one.caption }}{% endfor %}")
    prompt = Prompt("p1", "word " * 200_000, "Pets", "mine")
    references = [dataclasses.replace(REFERENCES[0], caption="c" * 10_000)] * 100
    start = time.perf_counter()
    text = made.render(prompt, DraftRules(), references)[-1]["content"]
    assert len(text) > 1_900_000
    assert time.perf_counter() - start < 10


def test_an_endless_message_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    assert "over 4,000,000 characters" in refusal(
        lambda: rendered(tmp_path, "{% for i in range(5) %}{{ 'x' * 1000000 }}{% endfor %}")
    )


# -- what is handed over


def walk(value: Any) -> Iterator[Any]:
    yield value
    for item in (
        (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    ):
        yield from walk(item)


def test_templates_are_handed_plain_data_only() -> None:
    odd = Prompt(np.str_("p1"), np.str_("A cat"), np.str_("Pets"), "mine")
    numbers = dataclasses.replace(REFERENCES[0], popularity=np.float32(2), popular=np.True_)  # type: ignore[arg-type]
    given = variables(odd, DraftRules(), [*REFERENCES, dataclasses.replace(numbers, popular=None)])
    assert tuple(given) == VARIABLES
    assert {type(value) for value in walk(given)} <= set(PLAIN)


def test_every_field_of_what_templates_see_is_handed_over_or_kept_back_by_name() -> None:
    given: Any = variables(PROMPT, DraftRules(), REFERENCES)
    assert set(given["references"][0]) == {field.name for field in dataclasses.fields(Reference)} - {"video"}
    assert set(given["draft"]) == set(DraftRules.model_fields)
    assert {field.name for field in dataclasses.fields(Prompt)} == {"id", "text", "category", "task", "extra"}


@pytest.mark.parametrize("value", [object(), Path("x"), DraftRules(), PROMPT, b"x", {1}, [Path("x")], {"a": print}, 1j])
def test_nothing_else_is_plain(value: object) -> None:
    with pytest.raises(TypeError, match="plain data only"):
        plain(value)


REACHED = (
    "{% macro m() %}{{ caller is seen }}{{ varargs is seen }}{{ kwargs is seen }}{% endmacro %}"
    "{% call m(1, a=2) %}{% endcall %}{% for x in [1] %}{{ loop is seen }}{{ loop.cycle is seen }}{% endfor %}"
    "{% import 'parts.j2' as parts %}{{ parts is seen }}{{ parts.m is seen }}{{ self is seen }}{{ self.user is seen }}"
    "{{ cycler is seen }}{{ cycler(1) is seen }}{{ joiner is seen }}{{ joiner() is seen }}{{ namespace is seen }}"
    "{{ namespace(a=1) is seen }}{{ dict is seen }}{{ range is seen }}{{ range(3) is seen }}{{ prompt.upper is seen }}"
    "{{ references is seen }}{{ references[0] is seen }}{{ draft is seen }}{{ draft.items() is seen }}{{ 1.5 is seen }}"
    "{{ (references | groupby('tag'))[0] is seen }}{{ [] is seen }}{{ none is seen }}{{ true is seen }}{{ 1 is seen }}"
    "{{ draft.nothing is seen }}{{ prompt is seen }}{{ ('' | e) is seen }}{{ dict[1:2] is seen }}"
    "{{ cycler(1).next is seen }}"
)
KINDS = {
    "Macro", "tuple", "dict", "LoopContext", "method", "TemplateModule", "TemplateReference", "BlockReference", "type",
    "Cycler", "Joiner", "Namespace", "function", "range", "str", "builtin_function_or_method", "list", "float",
    "_GroupTuple", "NoneType", "bool", "int", "StrictUndefined", "Markup", "GenericAlias",
}  # fmt: skip


def test_of_every_kind_of_object_within_reach_only_listed_names_can_be_read(tmp_path: Path) -> None:
    """Fails when a template comes to hold an object of a new kind, or one kind comes to show more."""
    seen: list[Any] = []
    main = "{% block system %}{% endblock %}{% block user %}" + REACHED + "{% endblock %}"
    environment = Sandbox(jinja2.DictLoader({"main": main, "parts.j2": "{% macro m() %}{% endmacro %}"}))
    environment.tests["seen"] = lambda value: seen.append(value) or True  # type: ignore[func-returns-value]
    list(environment.get_template("main").blocks["user"](
        environment.get_template("main").new_context(dict(variables(PROMPT, DraftRules(), REFERENCES)))
    ))  # fmt: skip
    assert {type(value).__name__ for value in seen} == KINDS
    for value in seen:
        listed = {name for kind, names in ATTRIBUTES.items() if isinstance(value, kind) for name in names}
        listed |= {"a"} if type(value).__name__ == "Namespace" else set()
        listed |= {"m"} if type(value).__name__ == "TemplateModule" else set()
        listed |= {"grouper", "list"} if type(value).__name__ == "_GroupTuple" else set()
        listed |= set(value) if isinstance(value, dict) else set()
        if isinstance(value, jinja2.Undefined):
            continue  # whatever is read of it raises
        for name in dir(value):
            for read in (environment.getattr, environment.getitem):
                assert (name in listed) or isinstance(read(value, name), jinja2.Undefined), (value, name)


def test_functions_filters_and_tests_are_a_list_of_names() -> None:
    environment = Sandbox(jinja2.DictLoader({}))
    assert set(environment.globals) == GLOBALS == {"cycler", "dict", "joiner", "namespace", "range"}
    assert {name for name in environment.filters if " " not in name} == FILTERS
    assert set(environment.tests) == set(ImmutableSandboxedEnvironment().tests)
    assert set(ImmutableSandboxedEnvironment().filters) >= FILTERS


# -- what is harmless works, byte for byte as Jinja has it

PARTS = {"parts.j2": "{% macro m() %}part{% endmacro %}{% set word = 'w' %}", "one.j2": "<{{ prompt }}>"}


@pytest.mark.parametrize("user", USUAL)
def test_what_is_harmless_renders_as_jinja_has_it(user: str) -> None:
    source = {"main": "{% block system %}s{% endblock %}{% block user %}" + user + "{% endblock %}", **PARTS}
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    jinjas = ImmutableSandboxedEnvironment(loader=jinja2.DictLoader(source), **options)
    given = variables(PROMPT, DraftRules(), REFERENCES)
    ours = Sandbox(jinja2.DictLoader(source)).get_template("main").render(**given)
    assert ours == jinjas.get_template("main").render(**given)
