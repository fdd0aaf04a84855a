"""Mistakes in templates are told in one line that names the file, and the sandbox refuses what templates may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_templates import BASE, SYSTEM, rendered, template
from popbench.prompting.templates import Template
from usage_errors import refusal


@pytest.mark.parametrize("block", ["system", "user"])
def test_a_missing_block_is_told(tmp_path: Path, block: str) -> None:
    other = {"system": "user", "user": "system"}[block]
    message = refusal(lambda: template(tmp_path, source="{% block " + other + " %}x{% endblock %}"))
    assert f"block {block!r} is missing" in message
    assert str(tmp_path / "main.j2") in message


@pytest.mark.parametrize(
    ("source", "base", "named"),
    [
        (SYSTEM + "{% block user %}x{% endblock %}{% block usr %}y{% endblock %}", "", "main.j2: unknown block 'usr'"),
        ("{% extends 'base.j2' %}{% block iner %}y{% endblock %}", BASE, "main.j2: unknown block 'iner': did you mean"),
        ("{% extends 'base.j2' %}", BASE + "{% block foot %}z{% endblock %}", "base.j2: unknown block 'foot'"),
    ],
)
def test_a_block_that_is_in_no_message_is_refused(tmp_path: Path, source: str, base: str, named: str) -> None:
    assert named in refusal(lambda: template(tmp_path, source=source, base=base or "x"))


def test_a_block_within_an_overridden_block_is_sent(tmp_path: Path) -> None:
    nested = "{% extends 'base.j2' %}{% block inner %}a {% block deep %}b{% endblock %}{% endblock %}"
    assert rendered(template(tmp_path, source=nested, base=BASE)) == "Base: a b"
    included = template(tmp_path, "{% include 'part.j2' %}", part="{% block own %}c{% endblock %}")
    assert rendered(included) == "c"


def test_blocks_of_an_included_file_do_not_count(tmp_path: Path) -> None:
    source = "{% include 'part.j2' %}"
    message = refusal(lambda: rendered(template(tmp_path, source=source, part=BASE)))
    assert "system" in message


def test_an_undefined_variable_is_told_before_anything_is_rendered(tmp_path: Path) -> None:
    message = refusal(lambda: template(tmp_path, "{% if false %}{{ promt }}{% endif %}"))
    assert str(tmp_path / "main.j2") in message
    assert "unknown variable 'promt': did you mean 'prompt'?" in message
    assert "category, draft, extra, prompt, references, task" in message


def test_an_undefined_variable_of_an_included_file_is_told(tmp_path: Path) -> None:
    message = refusal(lambda: template(tmp_path, "{% include 'part.j2' %}", part="{{ promt }}"))
    assert "'promt'" in message


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("{% for one in references %}{{ one.titel }}{% endfor %}", "titel"),
        ("{{ draft.title_max }}", "title_max"),
        ("{{ prompt.text }}", "text"),
        ("{% include 'part.j2' %}", "partial"),
    ],
)
def test_an_undefined_attribute_is_told_with_file_and_name(tmp_path: Path, user: str, name: str) -> None:
    made = template(tmp_path, user, part="{{ draft.partial }}")
    message = refusal(lambda: rendered(made))
    assert message.startswith(str(tmp_path / "main.j2"))
    assert repr(name) in message


@pytest.mark.parametrize("user", ["{% if %}", "{{ prompt ", "{{ prompt | nofilter }}", "{% endfor %}", "{% frob %}"])
def test_a_syntax_error_is_told_with_file_and_line(tmp_path: Path, user: str) -> None:
    message = refusal(lambda: template(tmp_path, f"\n\n{user}"))
    assert message.startswith(f"{tmp_path / 'main.j2'}: line 3: ")


def test_a_syntax_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    message = refusal(lambda: template(tmp_path, "\n\n\n{% include 'part.j2' %}", part="x\n{% if %}"))
    assert "part.j2: line 2" in message


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.j2").write_bytes(b"\xff\xfe{% block user %}")
    assert str(tmp_path / "main.j2") in refusal(lambda: Template(tmp_path / "main.j2"))
    assert "gone.j2" in refusal(lambda: Template(tmp_path / "gone.j2"))


@pytest.mark.parametrize(
    "user",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ '{0.__class__}'.format(prompt) }}",
        "{{ prompt | attr('__class__') }}",
        "{{ draft.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range(1000000000) | list | length }}",
        "{{ references.append(1) }}",
        "{{ 1 / 0 }}",
    ],
)
def test_the_sandbox_refuses_and_errors_are_told_in_one_line(tmp_path: Path, user: str) -> None:
    message = refusal(lambda: rendered(template(tmp_path, user)))
    assert message.startswith(str(tmp_path / "main.j2"))
    assert "'p1'" in message
