"""What the task folders hold: the prompts, and the messages their templates render."""

import difflib
import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.sandbox import SandboxedEnvironment

from popbench.prompting.drafts import find_drafts

TASKS = Path(__file__).parents[2] / "tasks"
FAMILIES = ["popcorn", "llmpopcorn"]
CATEGORIES = ["Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game"]
KINDS = ["concrete", "abstract"]
TASK_FILES = sorted(TASKS.glob("*/*.yaml"))
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be but by for from has have i if in into is it its me my of on one or our so
        some that the their them then there they this to us was we what when where which who with you""",
    )
)


def read_prompts(kind: str) -> list[dict[str, str]]:
    text = (TASKS / "popcorn" / "prompts" / f"{kind}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


PROMPTS = {kind: read_prompts(kind) for kind in KINDS}
TEXTS = [row["prompt"] for kind in KINDS for row in PROMPTS[kind]]


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


# Prompts


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_set_has_twenty_prompts_a_category_in_order(kind: str) -> None:
    assert [row["category"] for row in PROMPTS[kind]] == [name for name in CATEGORIES for _ in range(20)]
    assert all(list(row) == ["id", "prompt", "category"] for row in PROMPTS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_tells_kind_category_and_number(kind: str) -> None:
    slugs = [name.lower().replace(" ", "-") for name in CATEGORIES]
    expected = [f"{kind}-{slug}-{number:02d}" for slug in slugs for number in range(1, 21)]
    assert [row["id"] for row in PROMPTS[kind]] == expected


def test_every_prompt_is_one_clean_line_of_moderate_length() -> None:
    for text in TEXTS:
        assert text == " ".join(text.split())
        assert text[0].isupper()
        assert text[-1] in ".?!"
        assert 12 <= len(text.split()) <= 35, text


def test_no_two_prompts_share_many_words() -> None:
    sets = [set(words(text)) - STOP_WORDS for text in TEXTS]
    for first, second in itertools.combinations(range(len(TEXTS)), 2):
        jaccard = len(sets[first] & sets[second]) / len(sets[first] | sets[second])
        assert jaccard < 0.35, (TEXTS[first], TEXTS[second])


@pytest.mark.slow
def test_no_two_prompts_read_alike() -> None:
    sets = [set(words(text)) for text in TEXTS]
    matcher = difflib.SequenceMatcher(autojunk=False)
    for second, text in enumerate(TEXTS):
        matcher.set_seq2(text.lower())
        for first in range(second):
            # Comparing all pairs letter by letter is slow, and those with few common words are not alike.
            if len(sets[first] & sets[second]) > 0.1 * len(sets[first] | sets[second]):
                matcher.set_seq1(TEXTS[first].lower())
                assert matcher.ratio() < 0.62, (TEXTS[first], text)


def test_prompts_open_in_many_ways() -> None:
    for length, most in ((3, 2), (2, 4), (1, 12)):
        openings = Counter(tuple(words(text)[:length]) for text in TEXTS)
        assert max(openings.values()) <= most, openings.most_common(3)


def names_in(text: str) -> list[str]:
    """Capitalised words that do not open a sentence, other than I and its short forms."""
    sentences = re.split(r"(?<=[.?!])\s+", text)
    inner = [word for sentence in sentences for word in re.findall(r"[\w'-]+", sentence)[1:]]
    return [word for word in inner if word[0].isupper() and not re.fullmatch(r"I('\w+)?", word)]


def test_an_abstract_prompt_names_nothing() -> None:
    assert {row["id"]: names_in(row["prompt"]) for row in PROMPTS["abstract"] if names_in(row["prompt"])} == {}


@pytest.mark.parametrize("category", ["Anime", "Film and TV", "Game"])
def test_a_concrete_prompt_about_works_names_one(category: str) -> None:
    for row in PROMPTS["concrete"]:
        if row["category"] == category:
            opening = words(row["prompt"])[0].removesuffix("'s")
            opens_with_name = opening not in {"i", "the", "a", "an", "my", "we", "it", "for", "can", "could"}
            assert names_in(row["prompt"]) or opens_with_name, row["prompt"]


# Task files


def test_each_family_has_a_concrete_and_an_abstract_task() -> None:
    expected = [f"{family}_{kind}.yaml" for family in ("llmpopcorn", "popcorn") for kind in sorted(KINDS)]
    assert [path.name for path in TASK_FILES] == expected


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.stem)
def test_a_task_file_states_its_name_group_and_rules(path: Path) -> None:
    task = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert task["task"] == path.stem
    assert task["group"] == path.parent.name
    assert task["version"] == 1
    assert task["description"].strip()
    assert "\n" not in task["description"]
    assert task["draft"] == {"title_max_chars": 50, "clip_seconds": 3}


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.stem)
def test_every_file_a_task_points_to_exists(path: Path) -> None:
    task = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(task["templates"]) == ["basic", "pe"]
    for template in task["templates"].values():
        assert (path.parent / template).parent == path.parent / "templates"
        assert (path.parent / template).is_file()
    if task["dataset"]["path"] == "json":
        assert (path.parent / task["dataset"]["data_files"]).is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_hub_tasks_take_one_type_of_rows_in_blocks_of_the_same_categories(kind: str) -> None:
    task = yaml.safe_load((TASKS / "llmpopcorn" / f"llmpopcorn_{kind}.yaml").read_text(encoding="utf-8"))
    assert task["where"] == {"type": kind}
    assert task["fields"] == {"prompt": "prompt", "category": {"blocks_of": 20, "names": CATEGORIES}}


def test_the_example_in_the_readme_is_a_valid_task_file() -> None:
    text = (TASKS / "README.md").read_text(encoding="utf-8")
    example = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)[0])
    real = yaml.safe_load(TASK_FILES[-1].read_text(encoding="utf-8"))
    assert set(example) == {*real, "where"}


# Templates


@dataclass(frozen=True)
class Reference:
    title: str
    description: str
    caption: str
    tag: str
    popularity: float
    popular: bool


@dataclass(frozen=True)
class Draft:
    title_max_chars: int = 50
    clip_seconds: int = 3


REQUEST = "A heron practises tap dancing on a frozen pond."
POPULAR = [Reference(f"Loved {n}", f"Poster {n}", f"Crowds came for {n}", "Dance", 900.0 - n, True) for n in range(9)]
UNPOPULAR = [Reference("Missed", " ", "Two lines\nof text ", "Dance", 3.0, False)]
REFERENCES = {
    "both": UNPOPULAR + POPULAR,
    "only popular": POPULAR,
    "only unpopular": UNPOPULAR,
    "none": [],
}


def render(name: str, trim: bool, draft: Draft | None = None, family: str = "popcorn", **extra: Any) -> dict[str, str]:
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(TASKS / family / "templates"),
        trim_blocks=trim,
        lstrip_blocks=trim,
    )
    template = environment.get_template(f"{name}.j2")
    variables = {"prompt": REQUEST, "category": "Game", "task": "demo", "draft": draft or Draft(), **extra}
    context = template.new_context(variables)
    return {block: "".join(template.blocks[block](context)) for block in ("system", "user")}


def every_message(family: str) -> list[tuple[str, dict[str, str]]]:
    messages = []
    for trim in (False, True):
        messages.append((f"{family}, basic, trim={trim}", render("basic", trim, family=family)))
        for case, references in REFERENCES.items():
            message = render("pe", trim, family=family, references=references)
            messages.append((f"{family}, pe, {case}, trim={trim}", message))
    return messages


MESSAGES = {family: every_message(family) for family in FAMILIES}
ALL_MESSAGES = pytest.mark.parametrize(
    "message", [pytest.param(message, id=name) for family in FAMILIES for name, message in MESSAGES[family]]
)


def json_objects(text: str) -> list[Any]:
    found, position = [], text.find("{")
    while position >= 0:
        value, end = json.JSONDecoder().raw_decode(text, position)
        found.append(value)
        position = text.find("{", end)
    return found


@ALL_MESSAGES
def test_a_rendered_message_is_tidy(message: dict[str, str]) -> None:
    for text in message.values():
        assert text
        assert text == text.strip()
        assert "\n\n\n" not in text
        assert not re.search(r"[ \t]$", text, flags=re.MULTILINE)


@ALL_MESSAGES
def test_the_request_is_in_the_user_message_alone(
    message: dict[str, str],
) -> None:
    assert message["user"].count(REQUEST) == 1
    assert REQUEST not in message["system"]


@ALL_MESSAGES
def test_the_messages_name_the_keys_of_the_answer(message: dict[str, str]) -> None:
    request = message["user"].rpartition("JSON object that has")[2]
    assert "title" in request
    assert "video_prompt" in request


@pytest.mark.parametrize("message", [message for _, message in MESSAGES["popcorn"]])
def test_the_messages_show_no_answer_that_a_model_could_copy(message: dict[str, str]) -> None:
    assert find_drafts(message["system"] + "\n" + message["user"]) == []
    assert "{" not in message["user"]


@pytest.mark.parametrize("message", [message for _, message in MESSAGES["llmpopcorn"]])
def test_the_messages_of_the_papers_tasks_show_one_valid_answer_as_in_the_paper(message: dict[str, str]) -> None:
    (answer,) = json_objects(message["system"] + "\n" + message["user"])
    assert list(answer) == ["title", "video_prompt"]
    assert 0 < len(answer["title"]) <= 50
    assert answer["video_prompt"]
    assert "\n" not in answer["title"] + answer["video_prompt"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_messages_do_not_depend_on_the_whitespace_settings_of_the_environment(family: str) -> None:
    messages = [message for _, message in MESSAGES[family]]
    assert messages[: len(messages) // 2] == messages[len(messages) // 2 :]


@pytest.mark.parametrize("name", ["basic", "pe"])
def test_the_draft_rules_reach_the_message(name: str) -> None:
    user = render(name, True, draft=Draft(title_max_chars=77, clip_seconds=6), references=[])["user"]
    assert "77 characters" in user
    assert "6-second clip" in user
    assert "50" not in user
    assert not re.search(r"\b3[- ]second", user)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_modes_give_the_model_the_same_role_requirements_and_example(family: str) -> None:
    basic = render("basic", True, family=family)
    enhanced = render("pe", True, family=family, references=REFERENCES["both"])
    assert enhanced["system"] == basic["system"]
    assert enhanced["user"].startswith(basic["user"].partition("\n\nAnswer with")[0])
    assert json_objects(enhanced["user"]) == json_objects(basic["user"])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_basic_mode_asks_for_no_references(family: str) -> None:
    source = (TASKS / family / "templates" / "basic.j2").read_text(encoding="utf-8")
    assert "references" not in source


@pytest.mark.parametrize("family", FAMILIES)
def test_the_enhanced_mode_lists_every_reference_popular_ones_first(family: str) -> None:
    user = render("pe", True, family=family, references=REFERENCES["both"])["user"]
    places = []
    for number, reference in enumerate(POPULAR, 1):
        entry = f"{number}. Title: {reference.title}\n   Cover: {reference.description}\n"
        entry += f"   Description: {reference.caption}\n   Comments: {reference.popularity:.0f} (popular)"
        assert user.count(entry) == 1
        places.append(user.index(entry))
    entry = "1. Title: Missed\n   Description: Two lines of text\n   Comments: 3 (unpopular)"
    assert user.count(entry) == 1
    places.append(user.index(entry))
    assert places == sorted(places)
    assert places[-1] < user.index("Step 1.")


@pytest.mark.parametrize("case", list(REFERENCES))
def test_the_enhanced_mode_has_no_heading_without_videos(case: str) -> None:
    user = render("pe", True, references=REFERENCES[case])["user"]
    assert ("Popular videos:" in user) == any(reference.popular for reference in REFERENCES[case])
    assert ("Unpopular videos:" in user) == any(not reference.popular for reference in REFERENCES[case])
    assert ("There are no reference videos" in user) == (case == "none")


@pytest.mark.parametrize("case", list(REFERENCES))
def test_the_enhanced_mode_has_seven_steps_and_then_the_answer(case: str) -> None:
    user = render("pe", True, references=REFERENCES[case])["user"]
    assert re.findall(r"^Step (\d)\. \w", user, flags=re.MULTILINE) == list("1234567")
    assert user.index("Step 7.") < user.index("JSON object")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reference_of_a_title_alone_is_still_listed(family: str) -> None:
    user = render("pe", True, family=family, references=[Reference("Bare", "", "", "Dance", 7, True)])["user"]
    assert "1. Title: Bare\n   Description: (none)\n   Comments: 7 (popular)" in user
