"""From templates to messages: what a template may do, and what its fingerprint is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_templates import BASE, PROMPT, REFERENCES, SYSTEM, rendered, template
from popbench.interfaces import Ask, Turn
from popbench.planning.config import EvalConfig
from popbench.planning.resolve import make_plan
from popbench.prompting.conversations import Conversation, TemplateMode
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.prompting.mode_specs import read_mode
from popbench.prompting.templates import Template
from popbench.records import Prompt
from popbench.tasks.loading import load_tasks
from popbench.tasks.schema import DraftRules
from usage_errors import refusal

# -- rendering


def test_the_blocks_become_messages_in_their_roles(tmp_path: Path) -> None:
    assert template(tmp_path).render(PROMPT, DraftRules(), ()) == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A cat on a mat"},
    )


def test_an_empty_system_block_is_no_message(tmp_path: Path) -> None:
    made = template(tmp_path, source="{% block system %} {% endblock %}{% block user %}x{% endblock %}")
    assert [message["role"] for message in made.render(PROMPT, DraftRules(), ())] == ["user"]


def test_an_empty_user_block_is_refused(tmp_path: Path) -> None:
    message = refusal(lambda: rendered(template(tmp_path, "  \n")))
    assert "block 'user' renders to nothing" in message
    assert "'p1'" in message


def test_messages_are_stripped_and_hold_no_lines_of_code(tmp_path: Path) -> None:
    user = "\n\n  {% if prompt %}\n  Yes: {{ prompt }}\n  {% endif %}\nlast  \n\n"
    assert rendered(template(tmp_path, user)) == "Yes: A cat on a mat\nlast"


def test_every_variable_can_be_used(tmp_path: Path) -> None:
    user = (
        "{{ prompt }}/{{ category }}/{{ task }}/{{ draft.title_max_chars }}/{{ draft.clip_seconds }}/"
        "{% for one in references %}{{ loop.index }} {{ one.title }} {{ one.description }} {{ one.popularity }} "
        "{{ 'popular' if one.popular else 'unpopular' }};{% endfor %}"
    )
    assert rendered(template(tmp_path, user)) == (
        "A cat on a mat/Pets/mine/50/3/1 First d1 5.0 popular;2 Second d2 1.0 unpopular;"
    )


def test_text_is_not_escaped_and_not_rendered_again(tmp_path: Path) -> None:
    prompt = Prompt("p", '<b>&"{{ 1 + 1 }}{% if %}', "c", "t")
    assert template(tmp_path).render(prompt, DraftRules(), ())[-1]["content"] == prompt.text


def test_a_template_that_uses_references_is_known_by_it(tmp_path: Path) -> None:
    assert template(tmp_path).uses_references is False
    assert template(tmp_path, "{{ prompt }}{% for one in references %}x{% endfor %}").uses_references is True
    assert template(tmp_path, "{% include 'part.j2' %}", part="{{ references | length }}").uses_references is True
    assert template(tmp_path, "{# references #}{{ prompt }} references").uses_references is False


def test_jinjas_own_functions_can_be_used(tmp_path: Path) -> None:
    user = "{% set seen = namespace(n=0) %}{% for i in range(3) %}{% set seen.n = seen.n + i %}{% endfor %}{{ seen.n }}"
    assert rendered(template(tmp_path, user)) == "3"


# -- more than one file


def test_a_template_may_extend_another(tmp_path: Path) -> None:
    made = template(tmp_path, source="{% extends 'base.j2' %}{% block inner %}{{ super() }}!{% endblock %}", base=BASE)
    assert made.render(PROMPT, DraftRules(), ()) == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Base: A cat on a mat!"},
    )


def test_a_template_may_include_and_import_others(tmp_path: Path) -> None:
    macros = "{% macro shout(text) %}{{ text | upper }}{% endmacro %}"
    user = "{% from 'macros.j2' import shout %}{% include 'part.j2' %} {{ shout(category) }}"
    assert rendered(template(tmp_path, user, part="<{{ prompt }}>", macros=macros)) == "<A cat on a mat> PETS"


def test_an_included_file_sees_the_variables_around_it(tmp_path: Path) -> None:
    user = "{% for one in references %}{% include 'part.j2' %}{% endfor %}"
    assert rendered(template(tmp_path, user, part="{{ one.title }}, ")) == "First, Second,"


@pytest.mark.parametrize(
    "head",
    [
        "{% macro shout(text) %}{{ text | upper }}{% endmacro %}",
        "{% from 'macros.j2' import shout %}",
        "{% import 'macros.j2' as macros %}{% set shout = macros.shout %}",
    ],
)
def test_blocks_see_what_the_top_of_the_file_defines(tmp_path: Path, head: str) -> None:
    source = head + SYSTEM + "{% block user %}{{ shout(prompt) }}{% endblock %}"
    macros = "{% macro shout(text) %}{{ text | upper }}{% endmacro %}"
    assert rendered(template(tmp_path, source=source, macros=macros)) == "A CAT ON A MAT"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for user in ("{% include 'gone.j2' %}", "{% from 'gone.j2' import x %}"):
        message = refusal(lambda user=user: template(tmp_path, user))  # type: ignore[misc]
        assert str(tmp_path / "main.j2") in message
        assert "gone.j2" in message
    assert "gone.j2" in refusal(lambda: template(tmp_path, source="{% extends 'gone.j2' %}"))


def test_a_template_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.j2").write_text("secret")
    (tmp_path / "in").mkdir()
    for name in ("../secret.j2", str(tmp_path / "secret.j2")):
        assert "secret.j2" in refusal(lambda name=name: template(tmp_path / "in", f"{{% include '{name}' %}}"))  # type: ignore[misc]


def test_a_computed_name_is_refused(tmp_path: Path) -> None:
    assert "computed name" in refusal(lambda: template(tmp_path, "{% include prompt %}"))


def test_a_file_that_includes_itself_is_told(tmp_path: Path) -> None:
    made = template(tmp_path, "{% include 'part.j2' %}", part="x{% include 'part.j2' %}")
    assert "nested too deeply" in refusal(lambda: rendered(made))


# -- fingerprints


def test_the_fingerprint_is_of_the_wording_of_all_files(tmp_path: Path) -> None:
    def fingerprint(folder: str, user: str = "{% include 'part.j2' %}", part: str = "{{ prompt }}") -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        return template(tmp_path / folder, user, part=part).fingerprint

    first = fingerprint("a")
    assert fingerprint("b") == first
    assert fingerprint("c", user="Now: {% include 'part.j2' %}") != first
    assert fingerprint("d", part="{{ prompt }}.") != first


def test_the_fingerprint_is_also_of_the_extended_file(tmp_path: Path) -> None:
    source = "{% extends 'base.j2' %}{% block inner %}x{% endblock %}"
    first = template(tmp_path, source=source, base=BASE).fingerprint
    assert template(tmp_path, source=source, base=BASE.replace("brief", "short")).fingerprint != first


def test_a_modes_fingerprint_is_of_wording_options_corpus_and_embedder() -> None:
    def fingerprint(mode: str, corpus: str = "demo", embedder: str = "hashing") -> str:
        config = EvalConfig(mode=(mode,), task=("popcorn_concrete",), corpus=corpus, embedder=embedder, limit=1)
        (found,) = make_plan(config).task_modes.values()
        return found.fingerprint

    assert fingerprint("pe") == fingerprint("pe,k=10") == fingerprint("pe,label=other")
    assert len({fingerprint(mode) for mode in ("basic", "pe", "pe,k=50", "pe,tags=2", "pe,negative_ratio=0.5")}) == 5
    assert fingerprint("pe", embedder="hashing,dim=64") != fingerprint("pe")
    assert fingerprint("basic", embedder="hashing,dim=64") == fingerprint("basic")


# -- examples and chats


def test_the_examples_that_messages_show_are_found(tmp_path: Path) -> None:
    made = template(tmp_path, 'Like {"title": "T", "video_prompt": "P"} or {"title": "U", "video_prompt": "Q"}, please')
    found = made.examples(made.render(PROMPT, DraftRules(), ()))
    assert {(draft.title, draft.video_prompt) for draft in found} == {("T", "P"), ("U", "Q")}
    assert template(tmp_path).examples(made.render(PROMPT, DraftRules(), ())[:1]) == ()


@pytest.mark.parametrize("mode", ["basic", "pe"])
def test_the_example_of_the_papers_templates_is_found(mode: str) -> None:
    made = Template(Path(__file__).parents[2] / "tasks/llmpopcorn/templates" / f"{mode}.j2")
    (found,) = made.examples(made.render(PROMPT, DraftRules(), ()))
    assert found.title == "The Lighthouse That Learned to Wink"


def test_references_are_rendered_into_the_installed_template() -> None:
    plan = make_plan(EvalConfig(mode=("pe,k=10",), task=("popcorn_concrete",), limit=1))
    (mode,) = plan.task_modes.values()
    prompt = plan.prompts["popcorn_concrete"][0]
    shown = plan.shown(mode, prompt)
    references, text = shown.references, shown.messages[-1]["content"]
    assert len(references) == 10
    assert [reference.popular for reference in references] == [True] * 9 + [False]
    positions = [text.index(f"Title: {reference.title}\n") for reference in references]
    assert positions == sorted(positions)
    assert all(reference.description in text and reference.caption in text for reference in references)
    assert text.count("(popular)") == 9
    assert text.count("(unpopular)") == 1


def first_turn(made: Template) -> Turn:
    ask = Ask(made.render(PROMPT, DraftRules(), REFERENCES), DRAFT_SCHEMA, made.reasons)
    turn = Conversation(TemplateMode(), "m", PROMPT, REFERENCES, ask, DraftRules()).turn
    assert turn is not None
    return turn


def test_the_call_of_a_template_has_its_messages_and_the_schema_of_a_draft(tmp_path: Path) -> None:
    made = template(tmp_path)
    turn = first_turn(made)
    assert (turn.messages, turn.schema) == (made.render(PROMPT, DraftRules(), REFERENCES), DRAFT_SCHEMA)
    assert turn.draft
    assert turn.required


@pytest.mark.parametrize(
    ("user", "reasons"),
    [
        ("{{ prompt }}", False),
        ("{{ prompt }} {{ references | length }}", True),
        ("{% set reasoning_first = true %}{{ prompt }}", True),
        ("{% set reasoning_first = false %}{{ prompt }} {{ references | length }}", False),
    ],
)
def test_a_chat_says_whether_reasoning_comes_before_the_answer(user: str, reasons: bool, tmp_path: Path) -> None:
    setting, _, rest = user.rpartition("%}")
    source = f"{setting}%}}" * bool(setting) + SYSTEM + "{% block user %}" + rest + "{% endblock %}"
    made = template(tmp_path, source=source)
    assert first_turn(made).reasons is reasons


def test_a_template_that_computes_whether_reasoning_comes_first_is_told(tmp_path: Path) -> None:
    source = "{% set reasoning_first = prompt %}" + SYSTEM + "{% block user %}a{% endblock %}"
    assert "line 1: reasoning_first is set to true or false" in refusal(lambda: template(tmp_path, source=source))


# -- options


TONE = '{% set default_options = {"tone": "plain", "beats": 3, "low": -1.5, "loud": false} %}'


def test_options_have_defaults_and_are_typed_like_these(tmp_path: Path) -> None:
    made = template(tmp_path, source=TONE + SYSTEM + "{% block user %}{{ prompt }}, {{ options }}{% endblock %}")
    assert made.options().determining() == {"tone": "plain", "beats": 3, "low": -1.5, "loud": False}
    plain, *_ = (message["content"] for message in made.render(PROMPT, DraftRules(), ())[1:])
    assert plain.endswith("{'tone': 'plain', 'beats': 3, 'low': -1.5, 'loud': False}")
    other = made.render(
        PROMPT, DraftRules(), (), made.options.model_validate({"tone": "dry", "loud": True}).determining()
    )[1]["content"]
    assert other.endswith("{'tone': 'dry', 'beats': 3, 'low': -1.5, 'loud': True}")


@pytest.mark.parametrize(
    ("defaults", "what"),
    [
        ('{"tone": none}', "default_options maps names to texts, numbers, true or false"),
        ('{"tone": prompt}', "default_options maps names to texts"),
        ('{"tone": ["a"]}', "default_options maps names to texts"),
        ('{"a b": 1}', "default_options maps names to texts"),
        ('{"_a": 1}', "default_options maps names to texts"),
        ('{"label": 1}', "an option cannot be called 'label': rename it"),
        ('{"copy": 1}', "an option cannot be called 'copy': rename it"),
        ("{}", "default_options maps names to texts"),
        ('"tone"', "default_options maps names to texts"),
        ('{"tone": 10 ** 10 ** 10}', "default_options maps names to texts"),
    ],
)
def test_options_that_are_no_plain_defaults_are_refused_with_their_line(
    defaults: str, what: str, tmp_path: Path
) -> None:
    source = f"\n{{% set default_options = {defaults} %}}{SYSTEM}{{% block user %}}a{{% endblock %}}"
    assert f"line 2: {what}" in refusal(lambda: template(tmp_path, source=source))


def test_options_that_are_not_stated_are_no_variable(tmp_path: Path) -> None:
    told = refusal(lambda: template(tmp_path, "{{ options.tone }}"))
    assert "unknown variable 'options'" in told


# -- modes


def test_a_mode_is_a_template_with_options_and_a_label() -> None:
    tasks = load_tasks(["popcorn"])
    assert [read_mode(text, tasks).label for text in ("basic", "pe", "pe,k=50", "pe,k=50,label=mine")] == [
        "basic", "pe", "pe[k=50]", "mine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pee", "unknown mode of task popcorn_abstract 'pee': did you mean 'pe'? (possible: "),
        ("pe,kk=3", "unknown option of mode pe 'kk': did you mean 'k'?"),
        ("basic,k=3", "unknown option of mode basic 'k'"),
        ("pe,k=0", "mode pe: k: "),
        ("pe,k=many", "'many'"),
        ("pe,negative_ratio=1.5", "mode pe: negative_ratio: "),
        ("pe,tags=0", "mode pe: tags: "),
        ("pe,label=a|b", "without '|'"),
        ("pe,label=", "without '|'"),
    ],
)
def test_a_mode_that_cannot_be_had_is_told(text: str, told: str) -> None:
    tasks = load_tasks(["popcorn"])
    assert told in refusal(lambda: read_mode(text, tasks))
