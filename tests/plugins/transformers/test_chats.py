"""Chat templates of local language models: with a system role, without one, and no template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

import popbench
from popbench import testing
from popbench.local import ChatFormat
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import END, START, THINK, UNTHINK, Style, make_tokenizer, tiny

MESSAGES = (
    popbench.Message(role="system", content="You make videos."),
    popbench.Message(role="user", content="A kite"),
)


def shown(style: Style, messages: tuple[popbench.Message, ...] = MESSAGES) -> str:
    tokenizer = make_tokenizer(style)
    encoded = ChatFormat(tokenizer, None, {}).encode(messages)
    return str(tokenizer.decode(encoded.tokens))


def test_a_template_with_a_system_role_gets_the_messages_as_they_are() -> None:
    assert shown("system") == (
        "<|im_start|>system\nYou make videos.<|im_end|>\n<|im_start|>user\nA kite<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("style", ["no-system", "swallows-system"])
def test_without_a_system_role_the_system_message_goes_before_the_user_s(style: Style) -> None:
    assert shown(style) == "<|im_start|>user\nYou make videos.\n\nA kite<|im_end|>\n<|im_start|>assistant\n"


def test_a_model_without_a_template_gets_plain_text() -> None:
    assert shown("no-template") == "You make videos.\n\nA kite\n\nAnswer:\n"


def test_a_prompt_that_ends_in_a_thought_is_known_to() -> None:
    def encode(style: Style) -> tuple[bool, bool]:
        found = ChatFormat(make_tokenizer(style), None, {}).encode(MESSAGES)
        return found.thinking, found.thought

    assert encode("thinking") == (True, False)
    assert encode("system") == (False, False)
    closed = "{{ messages[-1]['content'] }}<think>\n\n</think>\n\n"
    found = ChatFormat(make_tokenizer("thinking"), closed, {}).encode(MESSAGES)
    assert (found.thinking, found.thought) == (False, True)


def test_thoughts_stay_in_the_text_when_their_tags_are_special_tokens() -> None:
    tokenizer = make_tokenizer("thinking")
    tokens = tokenizer("<think>so</think>A kite<|im_end|>", add_special_tokens=False)["input_ids"]
    assert tokens[0] == tokenizer.convert_tokens_to_ids(THINK)
    assert ChatFormat(tokenizer, None, {}).decode(tokens) == f"{THINK}so{UNTHINK}A kite"


def test_a_template_file_and_its_variables_replace_the_model_s_own(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ opening }}: {{ messages[-1]['content'] }}", encoding="utf-8")
    llm = TransformersLLM(
        TransformersOptions(
            model=str(tiny()), chat_template=str(file), chat_template_kwargs={"opening": "Now"}, max_new_tokens=2
        )
    )
    answer = next(iter(llm.generate(testing.sample_chats()[:1])))
    assert isinstance(answer, popbench.Completion)
    assert llm._loaded is not None
    format_ = llm._loaded.format
    # the template has no system role, so the system message is there too
    assert llm._loaded.tokenizer.decode(format_.encode(MESSAGES).tokens) == "Now: You make videos.\n\nA kite"
    llm.close()


@pytest.mark.slow
def test_messages_that_a_template_refuses_are_an_error_of_their_chat(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(
        "{% if 'cat' in messages[-1]['content'] %}{{ raise_exception('no cats') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}",
        encoding="utf-8",
    )
    llm = TransformersLLM(TransformersOptions(model=str(tiny()), chat_template=str(file), max_new_tokens=2))
    first = testing.sample_chats()[0]
    bad = replace(first, id="bad", messages=(popbench.Message(role="user", content="a cat"),))
    answers = {answer.id: answer for answer in llm.generate([bad, first])}
    assert isinstance(answers[first.id], popbench.Completion)
    failure = answers["bad"]
    assert isinstance(failure, popbench.Failure)
    assert "no cats" in failure.error
    llm.close()


PARTS = "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}"
CONTENTS = "{% for c in m['content'] %}{{ c['content'] }}{% endfor %}"
FIRST = "{{ m['content'][0]['text'] }}"
USER = "{% if m['role'] == 'user' %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"


def turns(content: str) -> str:
    return "{% for m in messages %}<{{ m['role'] }}>" + content + "{% endfor %}"


SPLIT, MERGED = "<system>You make videos.<user>A kite", "<user>You make videos.\n\nA kite"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (turns("{{ m['content'] }}"), SPLIT),
        (turns("{{ m['content'] | trim }}"), SPLIT),
        (turns("{% for letter in m['content'] %}{{ letter }}{% endfor %}"), SPLIT),
        (turns("{{ m['content'] | upper }}"), "<system>YOU MAKE VIDEOS.<user>A KITE"),
        ("{% for m in messages %}{{ m['content'] | tojson }}{% endfor %}", '"You make videos.""A kite"'),
        (turns(PARTS), SPLIT),
        (turns("{{ m['content'] | map(attribute='text') | join }}"), SPLIT),
        (turns("{{ m['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | first }}"), SPLIT),
        (turns(CONTENTS), SPLIT),
        (turns(FIRST), SPLIT),
        (turns("{% if m['content'] is string %}{{ m['content'] }}{% else %}" + PARTS + "{% endif %}"), SPLIT),
        (turns(USER + PARTS + "{% else %}{{ m['content'] + '' }}{% endif %}"), SPLIT),
        (turns(USER + "{{ m['content'] + '' }}{% else %}" + PARTS + "{% endif %}"), SPLIT),
        (turns(USER + "{{ m['content'] }}{% else %}" + PARTS + "{% endif %}"), SPLIT),
        (NO_SYSTEM + turns(PARTS), MERGED),
        (turns(USER + PARTS + "{% endif %}").replace("<{{ m['role'] }}>" + USER, USER + "<user>"), MERGED),
        ("<user>{{ messages[-1]['content'] }}", MERGED),
        ("{% for p in messages[-1]['content'] %}<user>{{ p['text'] }}{% endfor %}", MERGED),
        ("{{ '' if tools | length else '' }}" + turns("{{ m['content'] }}"), SPLIT),
        ("{{ '' if documents | length else '' }}" + turns(PARTS), SPLIT),
    ],
)
def test_messages_are_given_in_the_form_that_the_template_renders_whole(template: str, expected: str) -> None:
    assert told(template) == expected


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("Hello!", "leaves out the user's text"),
        (turns("{{ m['content'][:40] }}"), "cuts the user's text"),
        (turns("{{ m['content'] | truncate(300) }}"), "cuts the user's text"),
        (turns("{{ m['content'][-900:] }}"), "cuts the user's text"),
        (turns("{{ m['content'].splitlines()[0] }}"), "cuts the user's text"),
        (turns("{{ m['text'] }}"), "leaves out the user's text"),
        (
            "{% for m in messages if m['role'] == 'system' %}{{ m['content'] }}{% endfor %}",
            "leaves out the user's text",
        ),
        ("{{ raise_exception('give tools') }}", "give tools"),
        ("{% for m in messages %}{{ m['content'] }}", "Unexpected end of template"),
        ("{{ missing.part }}" + turns("{{ m['content'] }}"), "'missing' is undefined"),
    ],
)
def test_a_template_that_leaves_out_text_in_every_form_ends_the_model_in_one_line(template: Any, why: str) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    format_ = ChatFormat(tokenizer, None, {})
    assert format_.problem is not None
    assert why in format_.problem
    assert "\n" not in format_.problem
    assert format_.problem.endswith("give a better one with chat_template=FILE")
    with pytest.raises(ValueError, match="chat_template=FILE"):
        format_.encode(MESSAGES)


def test_a_text_that_the_template_leaves_out_later_is_an_error_of_its_chat() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = turns("{{ m['content'][:9000] }}")
    format_ = ChatFormat(tokenizer, None, {})
    assert format_.problem is None
    assert format_.encode(MESSAGES).tokens
    with pytest.raises(ValueError, match="cuts the user's text"):
        format_.encode([*MESSAGES, popbench.Message(role="user", content=" ".join(map(str, range(2500))))])


def test_a_template_that_cannot_be_used_ends_the_model_before_its_weights_are_loaded(tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("Hello!", encoding="utf-8")
    llm = TransformersLLM(TransformersOptions(model=str(tiny()), chat_template=str(file), max_new_tokens=2))
    with pytest.raises(popbench.ComponentError) as caught:
        list(llm.generate(testing.sample_chats()[:2]))
    assert str(caught.value) == (
        f"model {tiny()}: its chat template cannot be used: it leaves out the user's text, given as text and as parts: "
        "give a better one with chat_template=FILE"
    )


def test_a_prompt_without_a_template_does_not_end_in_an_end_token() -> None:
    tokenizer = make_tokenizer("no-template")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (START, END)}
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=list(ids.items())
    )
    assert tokenizer("a")["input_ids"][-1] == ids[END]
    found = ChatFormat(tokenizer, None, {}).encode(MESSAGES).tokens
    assert tokenizer.decode(found) == f"{START}You make videos.\n\nA kite\n\nAnswer:\n"


def told(template: str | dict[str, str], **variables: Any) -> str:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return str(tokenizer.decode(ChatFormat(tokenizer, None, variables).encode(MESSAGES).tokens))


def test_templates_are_told_the_same_date_on_every_day() -> None:
    asked = " {{ messages[-1]['content'] }}"
    told_also = " You make videos.\n\nA kite"
    assert told("{{ strftime_now('%d %b %Y, %H:%M:%S.%f') }}" + asked) == f"26 Jul 2024, 00:00:00.000000{told_also}"
    tagged = "  {% if true %}\n{{ strftime_now(format='%Y-%-m-%-d') }}{% endif %}"
    assert told(tagged + asked) == f"2024-7-26{told_also}"
    macro = "{% macro day() %}{{ strftime_now('%A') }}{% endmacro %}{{ day() }}"
    assert told(macro + asked) == f"Friday{told_also}"
    assert told({"default": "{{ strftime_now('%Y') }}" + asked, "other": "x"}) == f"2024{told_also}"
    llama = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}\n"
        "{{ date_string }}" + asked
    )
    assert told(llama) == f"26 Jul 2024{told_also}"
    assert told(llama, date_string="1 May 2025") == f"1 May 2025{told_also}"


@pytest.mark.slow
def test_thoughts_that_never_end_are_no_answer() -> None:
    folder = tiny(style="thinking")
    llm = TransformersLLM(TransformersOptions(model=str(folder), temperature=1.0, max_new_tokens=12, dtype="float32"))
    for answer in llm.generate(testing.sample_chats()):
        assert isinstance(answer, popbench.Completion)
        assert answer.text == ""
        assert answer.reasoning
        assert answer.cut
        assert answer.remarks == ("cut at the limit of tokens before any answer: allow more with max_new_tokens=",)
    llm.close()
