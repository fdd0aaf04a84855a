"""Two LLM components without a language model: a control that repeats the prompt, and one that follows rules.

`verbatim` is the control: a model that cannot beat it adds nothing to the user's words. `shotlist` fills a template. It
is the smallest component that can use reference videos, so that prompt enhancement has an effect without a GPU.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator

import popbench
from popbench_baselines import shots
from popbench_baselines.titles import SHAPES, Shape, shape_of

TITLE_LIMIT = 50
"""The most characters of a title, as the tasks ask."""


def cut(text: str, limit: int = TITLE_LIMIT) -> str:
    """Shorten a line to at most `limit` characters, between words if possible, with an ellipsis."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    head = text[:limit]
    head = head[: head.rindex(" ")] if " " in head else head[:-1]
    return head.rstrip(" ,;:.-–—") + "…"


def _answer(chat: popbench.Chat, title: str, video_prompt: str) -> str:
    """Write an answer; of further fields that a task has, texts are the topic and numbers 0."""
    answer: dict[str, popbench.JSON] = {"title": title, "video_prompt": video_prompt}
    for name, of in chat.schema.get("properties", {}).items():
        if name not in answer:
            topic = topics(chat.prompt)[0]
            answer[name] = {"string": topic, "array": topic.split(), "boolean": False}.get(of["type"], 0)
    return json.dumps(answer, ensure_ascii=False)


class Verbatim(popbench.LLM):
    """Hands the prompt on: the control without a model.

    The user's prompt is title and video prompt, which is what remains when no model helps. It ignores references, so
    with and without prompt enhancement it does the same.
    """

    note = "repeats the request and ignores references, so its PE rows tie with its basic rows: the no-LLM control."
    version = "1"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Answer with the prompt itself. The title is its first line, shortened if it is too long."""
        for chat in chats:
            lines = chat.prompt.strip().splitlines()
            if not lines:
                yield popbench.Failure(chat.id, "the prompt is empty", invalid=True)
                continue
            yield popbench.Completion(chat.id, _answer(chat, cut(lines[0]), " ".join(chat.prompt.split())))


class Shotlist(popbench.LLM):
    """Fills a shot list by rule; needs no model.

    The topic is from the prompt, camera, light and beats are from the seed. With references it prefers the kind of
    title and the words that the more commented half of them uses.
    """

    version = "1"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Write one title and one shot for every chat."""
        for chat in chats:
            if not chat.prompt.strip():
                yield popbench.Failure(chat.id, "the prompt is empty", invalid=True)
                continue
            yield popbench.Completion(chat.id, _write(chat))


def _write(chat: popbench.Chat) -> str:
    rnd = random.Random(f"shotlist:{chat.seed}:{chat.prompt}")
    phrases = topics(chat.prompt)
    topic = phrases[0] if len(phrases) == 1 or rnd.random() < 0.7 else phrases[1]
    # a phrase with an article or a name is surely a thing that can be in the background
    things = [phrase for phrase in phrases if phrase != topic and re.match(r"an? |the |[A-Z]", phrase)]
    other = things[0] if things else ""
    style = shots.ReferenceStyle(chat.references)
    shapes = list(SHAPES[:3])
    rnd.shuffle(shapes)
    shape: Shape = style.best_shape(shapes) if chat.references else shapes[0]
    reference_titles = {" ".join(reference.title.casefold().split()) for reference in chat.references}
    title = _title(rnd, topic, shape, reference_titles)
    camera = style.pick(rnd, shots.CAMERAS)
    light = style.pick(rnd, shots.LIGHTS)
    pace = style.pick(rnd, shots.PACES)
    hook, beat, end = rnd.choice(shots.HOOKS), rnd.choice(shots.BEATS), rnd.choice(shots.ENDS)
    place = f", with {other} in the background" if other else ""
    video_prompt = (
        f"{camera} of {topic}{place}. {hook} {beat.format(topic=topic)} {pace} The scene is set {light}; "
        f"colours are rich and the main subject stays sharp. {end}"
    )
    answer = _answer(chat, title, " ".join(video_prompt.split()))
    if not chat.references:
        return answer
    reasoning = [
        style.summary(),
        f"1 to 2. A new topic, taken from the request alone: {topic}.",
        f"3. Outline: {camera.lower()}; {light}; one action, then a reason to watch again.",
        f"4 to 7. The title is of the kind that did best here ({style.reason(shape)}), it repeats no reference "
        "title, and the shot tells one thing that fits into three seconds.",
    ]
    return "\n".join(reasoning) + "\n\n" + answer


def _title(rnd: random.Random, topic: str, shape: Shape, reference_titles: set[str]) -> str:
    """Return a title of the shape that fits the limit and is no reference's title."""
    patterns = list(shots.TITLES[shape])
    rnd.shuffle(patterns)
    title = ""
    for pattern in patterns:
        words = topic.split()
        title = pattern.format(topic=" ".join(words))
        while len(title) > TITLE_LIMIT and len(words) > 1:
            words.pop(0)
            while len(words) > 1 and words[0] in shots.FUNCTION_WORDS:
                words.pop(0)
            title = pattern.format(topic=" ".join(words))
        if len(title) > TITLE_LIMIT:
            title = pattern.format(topic=cut(words[0], TITLE_LIMIT - len(pattern.format(topic=""))))
        title = title[:1].upper() + title[1:]
        if title.casefold() not in reference_titles and shape_of(title) == shape:
            break
    while title.casefold() in reference_titles:
        title = cut(title, TITLE_LIMIT - 3).rstrip("…") + " ✦"
    return title


def topics(prompt: str) -> list[str]:
    """Return the key phrases of a prompt, most important first: runs of words that carry meaning."""
    runs: list[list[str]] = [[]]
    articles = [""]
    before = ""
    for token in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]", prompt):
        word = token.lower()
        if not token[0].isalnum():
            runs.append([])
            articles.append("")
        elif word == "of" and runs[-1]:
            runs[-1].append("of")
        elif word in shots.FUNCTION_WORDS:
            runs.append([])
            articles.append("")
        else:
            if not runs[-1] and before in ("a", "an", "the"):
                articles[-1] = before
            runs[-1].append(token)
        before = word
    first = prompt.split()[0] if prompt.split() else ""
    ranked: list[tuple[float, str]] = []
    for index, run in enumerate(runs):
        while run and run[-1] == "of":
            run.pop()
        if not run:
            continue
        names = sum(token[:1].isupper() and token != first for token in run)
        weight = min(len(run), 4) + 1.5 * min(names, 2) - 0.15 * index
        kept = run[:5] if names or "of" in run[:4] else run[-4:]
        if kept[-1] == "of":
            kept = kept[:-1]
        article = [articles[index]] if articles[index] and kept[0] == run[0] else []
        ranked.append((-weight, cut(" ".join(article + kept), 44)))
    if not ranked:
        return [cut(re.sub(r"[{}]", " ", prompt), 40) or "this moment"]
    return list(dict.fromkeys(phrase for _, phrase in sorted(ranked, key=lambda pair: pair[0])))
