"""A made-up corpus in the format of MicroLens-100k's raw files, of any size; equal seeds give equal data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

LIKES = "MicroLens-100k_likes_and_views.txt"
TITLES = "MicroLens-100k_title_en.csv"
CAPTIONS = "Microlens100K_captions_en.csv"
COMMENTS = "MicroLens-100k_comment_en.txt"
TAGS = "tags_to_summary.csv"

TOPICS = {
    "Anime": "manga shonen hero sword episode cosplay studio ninja robot idol",
    "Delicacy": "noodles soup dumplings spicy kitchen recipe frying garlic dessert tasting",
    "Daily Sharing": "morning diary routine neighbour bus weekend apartment errands coffee rain",
    "Film and TV": "actor scene director trailer drama cinema villain sequel plot premiere",
    "Game": "boss level player speedrun loot arena quest console controller ranked",
    "Music": "guitar chorus melody singer drum violin concert lyrics piano rhythm",
    "Dance": "choreography ballet hiphop steps stage twirl partner tango rehearsal mirror",
    "Sports": "goal match striker referee marathon sprint tennis basketball trophy coach",
    "Pets": "kitten puppy paw leash hamster purring aquarium parrot fetch vet",
    "Travel": "passport beach mountain hostel train island temple map luggage sunset",
    "Fashion": "dress runway sneakers denim outfit fabric jacket season tailor handbag",
    "Beauty": "lipstick skincare eyeliner palette serum blush mask salon nails perfume",
    "Cars": "engine turbo drift garage electric sedan wheels highway racing bumper",
    "Technology": "phone chip laptop battery software camera screen gadget benchmark wireless",
    "Science": "physics molecule telescope experiment laboratory planet gravity cell magnet theory",
    "Education": "exam teacher vocabulary grammar homework lecture campus student notebook essay",
    "Finance": "stocks budget savings interest market investor salary mortgage fund inflation",
    "Health": "doctor vitamins sleep therapy blood exercise clinic posture allergy immunity",
    "Home": "sofa renovation shelf paint carpet lamp curtain plumbing balcony storage",
    "Agriculture": "harvest tractor wheat orchard seedling soil greenhouse cattle irrigation barn",
    "Comedy": "prank joke sketch punchline parody awkward impression laughter clown standup",
    "History": "dynasty emperor museum battle archaeology scroll ruins revolution treaty pottery",
}
_OPENINGS = ("Look at", "My first", "Nobody told me about", "How I found", "A day with", "Ten minutes of", "Why")
_REMARKS = ("so good", "where is this", "I laughed", "again please", "who else came back", "not my taste")


def topics(tags: int) -> dict[str, list[str]]:
    """Return the first tags with their words; beyond those listed, with numbered words of their own."""
    found = {name: words.split() for name, words in list(TOPICS.items())[:tags]}
    for number in range(len(found), tags):
        found[f"Topic {number}"] = [f"subject{number}x{word}" for word in range(10)]
    return found


def build(folder: Path, videos: int = 300, comments: int = 5000, tags: int = 22, seed: int = 0) -> Path:
    """Write the five files of a made-up corpus and return their folder.

    Ids are 1 to `videos` in a shuffled order. Titles hold commas, and quotes both as CSV wants them and not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(f"microlens {seed}")
    words = topics(tags)
    names = list(words)
    ids = list(range(1, videos + 1))
    draw.shuffle(ids)
    tag_of = {id_: names[at % len(names)] for at, id_ in enumerate(ids)}
    titles = {id_: _title(draw, words[tag_of[id_]]) for id_ in sorted(ids)}
    _write(folder / LIKES, (f"{id_}\t{draw.randrange(10**5)}\t{draw.randrange(10**7)}" for id_ in ids))
    _write(folder / TITLES, (f"{id_},{title}" for id_, title in titles.items()))
    _write(folder / TAGS, (f"{id_},{tag_of[id_]}" for id_ in sorted(ids)))
    _write(
        folder / CAPTIONS, (f"{id_}\tA clip that shows {', '.join(draw.sample(words[tag_of[id_]], 3))}." for id_ in ids)
    )
    # a few videos draw most of the comments, as Zipf has it
    weights = list(accumulate(1 / (rank + 2) for rank in range(videos)))
    targets = draw.choices(ids, cum_weights=weights, k=comments)
    users = draw.choices(range(1, 100_001), k=comments)
    texts = [f"{remark}, {word}" for remark in _REMARKS for word in words[names[0]]]
    said = draw.choices(texts, k=comments)
    _write(
        folder / COMMENTS,
        (f"{user}\t{target}\t{text}" for user, target, text in zip(users, targets, said, strict=True)),
    )
    return folder


def _title(draw: random.Random, words: list[str]) -> str:
    first, second, third = draw.sample(words, 3)
    plain = f"{draw.choice(_OPENINGS)} {first}, {second} and {third}"
    form = draw.randrange(4)
    if form == 0:
        return f'"{plain}"'
    if form == 1:
        return f'"The ""{first}"" of {second}, part {draw.randrange(9)}"'
    return f'{plain} ("{draw.randrange(99)}")' if form == 2 else plain


def _write(file: Path, lines: Iterator[str]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{line}\n" for line in lines)


def damage(folder: Path) -> dict[str, int]:
    """Damage the files in the ways in which real ones are damaged; return the number of malformed lines of each.

    Every file gets a byte order mark and CRLF. No title, tag or comment of a video is lost.
    """
    added = {
        TITLES: [b"a line without a separator", b"999999999,of no video"],
        CAPTIONS: [b"999999999\tof no video"],
        TAGS: [b"only text"],
        COMMENTS: [b"7", b"7\t8", b"1\t999999999\ta comment on no video", b"the second line of a comment"],
        LIKES: [b"12345", b"\t1\t2"],
    }
    for name, lines in added.items():
        data = (folder / name).read_bytes().replace(b"\n", b"\r\n")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + data + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
    return {name: len(lines) for name, lines in added.items()}
