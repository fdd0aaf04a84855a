"""Registration, corpus, writers, generator and embedder of popbench_baselines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import popbench
from kinetic_frames import paint, pictures
from popbench_baselines import build_corpus
from popbench_baselines.corpus import DemoCorpus
from popbench_baselines.hashing import Hashing
from popbench_baselines.kinetic import Kinetic
from popbench_baselines.llms import Shotlist, Verbatim, cut, topics
from popbench_baselines.scene import read

PROMPTS = [
    json.loads(line)
    for path in sorted((Path(__file__).parents[3] / "tasks" / "popcorn" / "prompts").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
TEXTS = [next(row[key] for key in ("text", "prompt") if key in row) for row in PROMPTS] or [
    "A fox crosses a frozen lake at dawn",
    "Something that makes people hungry",
]
ODD_TEXTS = [
    "x",
    "the and of",
    "?!",
    "夜の街を走る猫",
    'A\n\nB {braces} "quotes"\tand a tab',
    "word " * 300,
    "w" * 300,
    "Make a video.",
    "of of of of",
]


def chat(text: str, seed: int = 42, references: tuple[popbench.Reference, ...] = ()) -> popbench.Chat:
    return popbench.Chat("c", (), seed, {}, text, references)


def answer(model: popbench.LLM, request: popbench.Chat) -> str:
    (completion,) = model.generate([request])
    assert isinstance(completion, popbench.Completion), completion
    return completion.text


def draft(text: str) -> tuple[str, str]:
    found = json.loads(text[text.rindex('{"title"') :])
    assert set(found) == {"title", "video_prompt"}
    return found["title"], found["video_prompt"]


# -- registration


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, popbench_baselines\n"
        "print([m for m in ('numpy', 'torch', 'pydantic', 'av', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_registered_name_leads_to_a_class_of_its_kind() -> None:
    import importlib

    import popbench_baselines

    found: dict[tuple[str, str], str] = {}
    for kind in ("llms", "generators", "predictors", "embedders", "corpora"):
        hook = getattr(popbench_baselines, f"register_{kind}")
        hook(lambda name, target, kind=kind: found.setdefault((kind, name), target))
    assert sorted(name for _, name in found) == ["demo", "demo", "hashing", "kinetic", "shotlist", "verbatim"]
    for (kind, _), target in found.items():
        module, name = target.split(":")
        component = getattr(importlib.import_module(module), name)()
        assert component.version
        assert component.kind[:3] == kind[:3]
        assert json.dumps(component.fingerprint())
        assert component.check() == []
        component.close()


# -- corpus


def test_the_corpus_is_what_its_script_builds(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_corpus.FILE.read_bytes() == build_corpus.build().encode()
    assert build_corpus.main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out


def test_every_tag_has_enough_rows_in_every_part() -> None:
    corpus = DemoCorpus()
    assert corpus.demo
    tags = {part: Counter(row.tag for row in corpus.rows(part)) for part in ("train", "valid", "test", "all")}
    assert len(tags["all"]) == 10
    assert {"Anime", "Delicacy", "Daily Sharing", "Film and TV", "Game"} <= set(tags["all"])
    for tag in tags["all"]:
        assert tags["test"][tag] >= 15
        assert tags["train"][tag] >= 20
        assert tags["valid"][tag] >= 3
    assert tags["train"] + tags["valid"] + tags["test"] == tags["all"]
    with pytest.raises(ValueError, match="no part 'dev'"):
        corpus.rows("dev")


def test_rows_are_distinct_and_comments_heavy_tailed() -> None:
    rows = list(DemoCorpus().rows("all"))
    assert len({row.id for row in rows}) == len({row.title for row in rows}) == len(rows)
    comments = np.array([row.popularity for row in rows])
    assert comments.min() >= 1
    assert comments.mean() > 2 * np.median(comments)
    assert all(row.popular is None and row.video is None for row in rows)


def test_the_corpus_does_not_resemble_the_prompts() -> None:
    assert len(PROMPTS) == 200

    def words(text: str) -> frozenset[str]:
        return frozenset(re.findall(r"[^\W_]+", text.lower()))

    asked = {words(text) for text in TEXTS}
    nearest = 0.0
    for row in DemoCorpus().rows("all"):
        for text in (row.title, row.description, row.caption):
            own = words(text)
            nearest = max(nearest, max(len(own & other) / len(own | other) for other in asked))
    assert nearest < 0.5


# -- writers


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("model", [Verbatim(), Shotlist()], ids=["verbatim", "shotlist"])
def test_odd_prompts_still_give_a_valid_draft(model: popbench.LLM, text: str) -> None:
    for references in ((), tuple(DemoCorpus().rows("test"))[:12]):
        title, video_prompt = draft(answer(model, chat(text, references=references)))
        assert 0 < len(title) <= 50
        assert "\n" not in title
        assert video_prompt.strip()
        assert "\n" not in video_prompt


def test_an_empty_prompt_is_refused() -> None:
    for model in (Verbatim(), Shotlist()):
        (failure,) = model.generate([chat(" \n")])
        assert isinstance(failure, popbench.Failure)
        assert failure.invalid


def test_verbatim_passes_the_prompt_on() -> None:
    references = tuple(DemoCorpus().rows("test"))[:10]
    for text in TEXTS:
        plain = answer(Verbatim(), chat(text))
        title, video_prompt = draft(plain)
        assert video_prompt == " ".join(text.split())
        assert len(title) <= 50
        assert text.startswith(title.rstrip("…"))
        assert plain == answer(Verbatim(), chat(text, seed=7, references=references))


def test_titles_are_cut_between_words() -> None:
    assert cut("short enough") == "short enough"
    assert cut("one two three", 9) == "one two…"
    assert cut("abcdefghij", 5) == "abcd…"
    assert all(len(cut("some words of any kind, and more", limit)) <= limit for limit in range(4, 40))


def test_shotlist_writes_a_shot_for_every_prompt() -> None:
    references = tuple(row for row in DemoCorpus().rows("test") if row.tag == "Delicacy")
    known = {row.title.casefold() for row in references}
    changed = 0
    for text in TEXTS:
        request = chat(text)
        basic = answer(Shotlist(), request)
        assert basic == answer(Shotlist(), request)
        assert basic != answer(Shotlist(), chat(text, seed=43))
        enhanced = answer(Shotlist(), chat(text, references=references))
        assert not enhanced.startswith("{")
        changed += draft(enhanced) != draft(basic)
        for title, video_prompt in (draft(basic), draft(enhanced)):
            assert 0 < len(title) <= 50
            assert title.casefold() not in known
            assert 40 <= len(video_prompt.split()) <= 90
            assert "\n" not in title + video_prompt
    assert changed > 0.9 * len(TEXTS)


def test_shotlist_learns_from_references() -> None:
    def reference(index: int, title: str, light: str, comments: int) -> popbench.Reference:
        return popbench.Reference(str(index), title, "", f"a room {light}", "T", comments)

    asked = [reference(i, f"Where is room {'abcdefgh'[i]}?", "in golden evening light", 500 + i) for i in range(8)]
    dull = [reference(9 + i, f"Room {i} of many", "at night under neon", 2 + i) for i in range(8)]
    texts = [draft(answer(Shotlist(), chat("A fox", seed, (*asked, *dull)))) for seed in range(12)]
    assert all(title.endswith("?") for title, _ in texts)
    assert sum("golden" in video_prompt for _, video_prompt in texts) >= 6
    assert not any("neon" in video_prompt for _, video_prompt in texts)
    again = answer(Shotlist(), chat("A fox", 0, (*asked, *dull)))
    assert "golden" in again.split("\n")[0]


def test_a_title_of_the_references_is_never_repeated() -> None:
    first = draft(answer(Shotlist(), chat("A fox", 3)))[0]
    every = {draft(answer(Shotlist(), chat("A fox", seed)))[0] for seed in range(200)}
    references = tuple(popbench.Reference(str(i), t, "", "", "T", 5) for i, t in enumerate(sorted(every)))
    assert first in every
    assert draft(answer(Shotlist(), chat("A fox", 3, references)))[0] not in every


def test_topics_are_phrases_of_the_prompt() -> None:
    assert topics("Please make a video about a tin robot on the roof")[0] == "a tin robot"
    assert "The Iron Giant" in topics("a clip where we see how The Iron Giant sleeps")[0].replace("the", "The")


# -- painter


def test_clips_have_the_size_asked_for() -> None:
    frames = paint("a quiet lake")
    assert frames.shape == (24, 176, 320, 3)
    assert frames.dtype == np.uint8
    assert paint("a quiet lake", width=101, height=67, frames=3).shape == (3, 67, 101, 3)
    assert paint("a city", width=64, height=64, frames=1).shape == (1, 64, 64, 3)
    with pytest.raises(ValueError, match="greater than or equal to 64"):
        Kinetic.Options(width=63)


@pytest.mark.parametrize(
    "prompt", ["", "city rain fast", "ocean", "snowy forest", "hot soup", "concert", "arcade boss", "planet", "hills"]
)
def test_every_kind_of_picture_is_light_enough_and_moves(prompt: str) -> None:
    frames = paint(prompt, width=160, height=90, frames=8)
    assert frames.max() > 90
    assert frames.mean() > 20
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 0.2
    long = paint(prompt, width=64, height=64, frames=60, fps=1)
    assert np.abs(long[0].astype(int) - long[-1]).mean() > 0.5


def test_clips_depend_on_prompt_and_seed_alone() -> None:
    requests = [popbench.VideoRequest(f"{p}{s}", p, s) for p in ("a red fox", "deep sea", "noodles") for s in (1, 2)]
    painter = Kinetic(Kinetic.Options(width=160, height=90))
    forward = {clip.id: pictures(clip) for clip in painter.generate(requests)}
    backward = {clip.id: pictures(clip) for clip in Kinetic(painter.options).generate(requests[::-1])}
    assert forward.keys() == backward.keys()
    for key, frames in forward.items():
        assert np.array_equal(frames, backward[key])
    everything = list(forward.values())
    for i, one in enumerate(everything):
        for other in everything[:i]:
            assert np.abs(one.astype(int) - other).mean() > 3


def test_prompts_look_different() -> None:
    clips = [paint(text, width=96, height=64, frames=2).astype(int) for text in TEXTS[::10]]
    apart = [np.abs(one - other).mean() for i, one in enumerate(clips) for other in clips[:i]]
    assert min(apart) > 4
    assert np.median(apart) > 15


def test_words_set_the_mood() -> None:
    assert read("a dark night", 1).dark > read("a bright summer morning", 1).dark + 0.3
    assert read("a horse gallops, racing fast", 1).speed > 2 * read("a calm and quiet horse", 1).speed
    assert read("hot noodles in a bowl", 1).ground == "table"
    night, day = (paint(f"a hill {light}", frames=2).mean() for light in ("at night", "in bright sunlight"))
    assert day > night + 30


# -- embedder


def test_embeddings_are_unit_vectors_that_know_shared_words() -> None:
    texts = ["a red fox in the snow", "the red foxes in snow", "tax forms of the county", "", "…"]
    vectors = Hashing().encode(texts)
    assert vectors.shape == (5, 512)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 0], atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert np.array_equal(vectors[1:2], Hashing().encode(texts[1:2]))
    assert Hashing().encode([]).shape == (0, 512)
    assert Hashing(Hashing.Options(dim=64)).encode(texts).shape == (5, 64)


def test_embeddings_find_the_row_of_the_corpus() -> None:
    rows = list(DemoCorpus().rows("test"))
    vectors = Hashing().encode([f"{row.title} {row.description} {row.caption}" for row in rows])
    asked = Hashing().encode([f"{row.title} {row.description}" for row in rows[::5]])
    assert (np.argmax(asked @ vectors.T, axis=1) == np.arange(len(rows))[::5]).mean() > 0.9
