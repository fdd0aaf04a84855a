"""A single text of a component, such as a judge's rubric, is rendered like a stranger's template."""

from __future__ import annotations

from pathlib import Path

import pytest

import popbench
from popbench.errors import UsageError
from template_attacks import HEAVY


def text(folder: Path, source: str, *variables: str) -> popbench.TextTemplate:
    path = folder / "text.j2"
    path.write_text(source, encoding="utf-8")
    return popbench.TextTemplate(path, variables or ("name", "items"))


def test_a_text_says_which_variables_it_names_and_renders_them(tmp_path: Path) -> None:
    made = text(tmp_path, "{% for one in items %}\n- {{ one.label }}\n{% endfor %}\n", "name", "items")
    assert made.used == {"items"}
    assert made.render(name="unused", items=({"label": "a"}, {"label": "b"})) == "- a\n- b"


def test_its_hash_follows_the_text_and_not_the_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert text(one, "{{ name }}").fingerprint == text(two, "{{ name }}").fingerprint
    assert text(one, "{{ name }}").fingerprint != text(two, "{{ name }}!").fingerprint


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("{{ nmae }}", "text.j2: unknown variable 'nmae': did you mean 'name'?"),
        ("{{ name", "text.j2: line 1: unexpected end of template"),
        ("{% include 'other.j2' %}", "text.j2: this text is a single file"),
    ],
)
def test_a_mistake_is_told_when_the_file_is_read(source: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        text(tmp_path, source)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_absent_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.j2: No such file or directory; give a Jinja file"):
        popbench.TextTemplate(tmp_path / "absent.j2", ["name"])
    (tmp_path / "binary.j2").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.j2: not UTF-8 text"):
        popbench.TextTemplate(tmp_path / "binary.j2", ["name"])


@pytest.mark.parametrize("source", ["{{ name }}", "{{ items[5] }}", "{{ name * 9999999 * 9999999 }}"])
def test_a_text_that_fails_or_holds_nothing_is_one_line(source: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        text(tmp_path, source).render(name="", items=[])
    assert "text.j2: " in str(caught.value)


@pytest.mark.parametrize(
    "what", ["items.__class__", "''.__class__.__mro__", "self._TemplateReference__context", "range.__doc__"]
)
def test_a_text_reaches_nothing_outside_of_its_values(what: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unsafe"):
        text(tmp_path, f"{{{{ {what} }}}}").render(name="a", items=["b"])


@pytest.mark.parametrize("name", sorted(HEAVY)[::9])
def test_a_text_does_not_work_without_end(name: str, tmp_path: Path) -> None:
    variables = {"prompt": "p", "category": "c", "task": "t", "extra": {}, "draft": {}, "references": []}
    with pytest.raises(UsageError):
        text(tmp_path, HEAVY[name], *variables).render(**variables)
