"""Builds the made-up corpus, byte for byte: `python -m popbench_baselines.build_corpus [--check]`.

Nothing in it was ever published or commented on. Comment counts have a heavy tail. They depend partly on title and
caption (`true_log2`), so that prompt enhancement and the demonstration predictor have something to find; the rest is
noise. They say nothing about real popularity.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from popbench_baselines import corpus_words as words

FILE = Path(__file__).parent / "data" / "demo_corpus.jsonl"
SEED = 20240617
PARTS = ("train",) * 24 + ("valid",) * 5 + ("test",) * 19
"""The parts of the rows of one partition: half train, a tenth valid, the rest test."""


def true_log2(shape: str, length: int, light: float, motion: float, topic: float) -> float:
    """Return the expected log2 comments of a video: the law of the invented corpus."""
    bonus = {"question": 1.1, "emotion": 1.6, "number": 0.6, "plain": -0.7}[shape]
    return 5.2 + 1.3 * bonus - 0.04 * max(0, length - 38) + 1.1 * light + motion + topic


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _title(rnd: random.Random, thing: str, shape: str) -> str:
    patterns = {
        "question": words.QUESTIONS,
        "emotion": words.EMOTIONS,
        "number": words.NUMBERS,
        "plain": words.PLAIN,
    }[shape]
    title = rnd.choice(patterns.split("|")).format(thing=thing, n=rnd.choice((3, 4, 5, 6, 7, 9, 10, 12, 20, 30)))
    if shape != "question":
        title += rnd.choice(words.TAILS.split("|"))
    return _capital(title)


def build() -> str:
    """Return the content of the file."""
    rnd = random.Random(SEED)
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    for index, (tag, topic) in enumerate(words.TOPICS.items()):
        appeal = 0.5 * ((index * 7) % 10 / 4.5 - 1)
        parts = list(PARTS)
        rnd.shuffle(parts)
        for part in parts:
            thing = rnd.choice(topic.things.split("|"))
            title = ""
            while not title or title in seen:
                shape = rnd.choice(("question", "emotion", "number", "plain", "plain"))
                title = _title(rnd, thing, shape)
            seen.add(title)
            actor, act = rnd.choice(topic.actors.split("|")), rnd.choice(topic.acts.split("|"))
            place = rnd.choice(topic.places.split("|"))
            (light, brightness), (motion, pace) = rnd.choice(words.LIGHTS), rnd.choice(words.MOTIONS)
            log2 = true_log2(shape, len(title), brightness, pace, appeal) + rnd.gauss(0, 1.5)
            comments = max(1, round(2**log2))
            likes = round(comments * 2 ** rnd.gauss(4.2, 0.7)) + rnd.randrange(20)
            rows.append(
                {
                    "video_id": f"demo-{len(rows) + 1:04d}",
                    "title_en": title,
                    "cover_desc": f"{_capital(topic.label)}: a {rnd.choice(words.MOODS.split('|'))} {thing}",
                    "caption_en": f"{_capital(actor)} {act} {place}, {light}. {motion}",
                    "partition": tag,
                    "likes": likes,
                    "views": round(likes * 2 ** rnd.gauss(4.5, 0.6)) + rnd.randrange(400),
                    "comment_count": comments,
                    "part": part,
                }
            )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with --check compare it with what would be written."""
    parser = argparse.ArgumentParser(description="Build the made-up corpus.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file differs")
    check = parser.parse_args(arguments).check
    data = build().encode()
    if check:
        same = FILE.is_file() and FILE.read_bytes() == data
        print(f"{FILE.name} is {'up to date' if same else 'not what the script builds'}")
        return 0 if same else 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(data)
    print(f"wrote {FILE} ({data.count(10)} rows)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
