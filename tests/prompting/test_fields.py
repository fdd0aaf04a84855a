"""Further fields of drafts: what LLMs are asked for, and what is read of their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_tasks import loaded
from popbench.prompting.drafts import CUT, DRAFT_SCHEMA, NO_JSON, draft_schema, read_answer
from popbench.prompting.templates import Template
from popbench.prompting.usable import PLACEHOLDER
from popbench.records import Draft, Prompt
from popbench.tasks.schema import DraftField, DraftRules
from usage_errors import refusal

KINDS = ("string", "number", "integer", "boolean", "array")
WRITTEN = {"title": "Rain on tin", "video_prompt": "A tin roof in rain."}


def field(kind: Any, description: str = "") -> DraftField:
    return DraftField(type=kind, description=description)


def answer(**fields: Any) -> str:
    return json.dumps({**WRITTEN, **fields})


def read(text: str, kind: str = "array", *, cut: bool = False) -> tuple[Any, str]:
    """Return the value of the field `more`, and the reason why there is none."""
    draft, reason = read_answer(text, None, 50, cut=cut, fields={"more": field(kind)})
    return (None if draft is None else draft.extra["more"]), reason


def test_the_schema_asks_for_every_field_and_is_the_one_of_before_without() -> None:
    assert draft_schema({}) is DRAFT_SCHEMA
    fields = {kind: field(kind) for kind in KINDS}
    schema = draft_schema({**fields, "told": field("string", "what it is")})
    assert schema["required"] == ["title", "video_prompt", *KINDS, "told"]
    assert list(schema["properties"]) == schema["required"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["array"] == {"type": "array", "items": {"type": "string"}}
    assert schema["properties"]["number"] == {"type": "number"}
    assert schema["properties"]["told"] == {"type": "string", "description": "what it is"}
    assert schema["properties"]["title"] == DRAFT_SCHEMA["properties"]["title"]


@pytest.mark.parametrize(
    ("kind", "value", "read_as"),
    [
        ("array", ["#rain", "#tin"], ["#rain", "#tin"]),
        ("array", [], []),
        ("array", [" 雨 🐈\u200d⬛ ", "\ud83d\ude00"], ["雨 🐈\u200d⬛", "😀"]),
        ("string", "", ""),
        ("string", " half \ud800 ", "half ?"),
        ("number", 1, 1),
        ("number", -0.5, -0.5),
        ("integer", 3.0, 3),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("boolean", False, False),
        ("string", "x" * 1_000_000, "x" * 1_000_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_of_its_type_is_read(kind: str, value: Any, read_as: Any) -> None:
    found, reason = read(answer(more=value), kind)
    assert (found, reason) == (read_as, "")
    assert type(found) is type(read_as)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("array", "#rain #tin", "more is no array of texts"),
        ("array", ["#rain", 3], "more is no array of texts"),
        ("array", {"a": 1}, "more is no array of texts"),
        ("string", 3, "more is no string"),
        ("string", ["a"], "more is no string"),
        ("number", "3", "more is no number"),
        ("number", True, "more is no number"),
        ("number", float("nan"), "more is no number"),
        ("number", float("inf"), "more is no number"),
        ("number", 10**400, "more is no number"),
        ("integer", 3.5, "more is no integer"),
        ("integer", 2**63, "more is no integer"),
        ("boolean", 0, "more is no boolean"),
        ("boolean", "true", "more is no boolean"),
        *((kind, None, "more missing") for kind in KINDS),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_draft_with_a_field_of_another_type_is_no_draft(kind: str, value: Any, why: str) -> None:
    assert read(answer(more=value), kind) == (None, why)


def test_the_last_draft_with_every_field_counts() -> None:
    assert read(answer(more=["a"]) + answer(more="b") + answer()) == (["a"], "")
    assert read(answer()) == (None, "more missing")
    assert read(answer(), cut=True) == (None, CUT)
    assert read("no") == (None, NO_JSON)
    assert read(json.dumps({"title": "...", "video_prompt": "...", "more": []})) == (None, PLACEHOLDER)
    assert read(f"Here: {answer(more=['a'], note='b')}")[0] == ["a"]


def test_what_is_not_asked_for_is_left_out() -> None:
    draft, _ = read_answer(answer(more=["a"], mood=3), None, 50, fields={"mood": field("integer")})
    assert draft is not None
    assert draft.extra == {"mood": 3}
    draft, _ = read_answer(answer(more=["a"]), None, 50)
    assert draft == Draft(WRITTEN["title"], WRITTEN["video_prompt"])


@pytest.mark.parametrize(
    "text",
    [
        """{'title': 'Rain', 'video_prompt': 'A roof', 'more': ['a', 'b',], 'mood': 3, 'told': true}""",
        """{'more': ['a', 'b'], 'mood': 3, 'told': True, 'title': 'Rain', 'video_prompt': 'A roof'}""",
        """{"title": "Rain", "video_prompt": "A roof", "more": ["a", "b"], "mood": 3, "told": true""",
        """{"more": ["a", "b"], "mood": 3, "told": true, "title": "Rain", "video_prompt": "A roof",}""",
    ],
)
def test_broken_json_is_read_with_its_fields(text: str) -> None:
    fields = {"more": field("array"), "mood": field("integer"), "told": field("boolean")}
    draft, reason = read_answer(text, None, 50, fields=fields)
    assert draft is not None, reason
    assert (draft.title, draft.video_prompt) == ("Rain", "A roof")
    assert (draft.extra, draft.breaches) == ({"more": ["a", "b"], "mood": 3, "told": True}, ("not valid JSON",))


def test_a_thousand_fields_are_read() -> None:
    fields = {f"f{number}": field("integer") for number in range(1000)}
    values = {name: number for number, name in enumerate(fields)}
    draft, _ = read_answer(answer(**values), None, 50, fields=fields)
    assert draft is not None
    assert draft.extra == values


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda of: st.lists(of) | st.dictionaries(st.text(), of),
)


@given(JSON_VALUES, st.sampled_from(KINDS))
def test_any_value_is_read_or_told(value: Any, kind: str) -> None:
    found, reason = read(answer(more=value), kind)
    assert (found is None) == bool(reason)
    json.dumps(found, allow_nan=False).encode()


# -- templates

PROMPT = Prompt("p", "A cat", "a", "mine", {"lang": "en", "meta": {"n": [1]}, "odd name": None})
RULES = DraftRules(fields={"tags": field("array", "hashtags"), "hook": field("string")})


def message(folder: Path, user: str, prompt: Prompt = PROMPT, rules: DraftRules = RULES) -> str:
    path = folder / "main.j2"
    path.write_text("{% block system %}S{% endblock %}{% block user %}" + user + "{% endblock %}", encoding="utf-8")
    return Template(path).render(prompt, rules, ())[-1]["content"]


def test_templates_get_columns_and_fields(tmp_path: Path) -> None:
    assert message(tmp_path, "{{ extra.lang }} {{ extra.meta.n[0] }} {{ extra['odd name'] is none }}") == "en 1 True"
    listed = (
        "{% for name, field in draft.fields.items() %}{{ name }}: {{ field.type }} {{ field.description }};{% endfor %}"
    )
    assert message(tmp_path, listed) == "tags: array hashtags;hook: string ;"
    assert message(tmp_path, f"x{listed}", rules=DraftRules()) == "x"
    assert "has no attribute 'language'" in refusal(lambda: message(tmp_path, "{{ extra.language }}"))


def test_a_template_cannot_change_what_others_get(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unsafe"):
        message(tmp_path, "{{ extra.meta.n.append(2) }}")
    assert PROMPT.extra["meta"] == {"n": [1]}


def test_a_task_s_draft_is_what_its_templates_get(tmp_path: Path) -> None:
    rules = loaded(tmp_path, draft={"fields": {"tags": "array"}}).file.draft
    assert message(tmp_path, "{{ draft.fields.tags.type }} {{ draft.title_max_chars }}", rules=rules) == "array 50"
