"""The raw files of MicroLens-100k: malformed lines are counted, and results do not depend on paths."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import microlens_files as made
import popbench
from microlens_files import CAPTIONS, COMMENTS, LIKES, TAGS, TITLES, build, damage
from popbench import testing
from popbench.registry import load_registry
from popbench_microlens.microlens import MicroLens, MicroLensOptions
from popbench_microlens.raw import RawFolder
from popbench_microlens.split import parts
from usage_errors import refusal


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("made") / "raw")


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "raw"))


def corpus(folder: Path | str, **options: Any) -> MicroLens:
    return MicroLens(MicroLensOptions(path=str(folder), **options))


def every(folder: Path, **options: Any) -> dict[str, popbench.Reference]:
    return {row.id: row for row in corpus(folder, **options).rows("all")}


def small(folder: Path, titles: str | bytes | None = None, **files: str) -> Path:
    """Write files of three videos, 1 to 3; a text given by keyword replaces a file's."""
    folder.mkdir(exist_ok=True, parents=True)
    texts = {
        LIKES: files.get("likes", "1\t5\t9\n2\t6\t9\n3\t7\t9\n"),
        CAPTIONS: files.get("captions", "1\tone\n2\ttwo\n3\tthree\n"),
        COMMENTS: files.get("comments", "u1\t1\tnice\nu2\t1\tgood\nu1\t3\twell\n"),
        TAGS: files.get("tags", "1,Game\n2,Game\n3,Anime\n"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    given = "1,First\n2,Second\n3,Third\n" if titles is None else titles
    (folder / TITLES).write_bytes(given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass"))
    return folder


def told(folder: Path, **options: Any) -> list[str]:
    """What is remarked of all rows, but for the split of a small selection."""
    read = corpus(folder, **options)
    assert read.remarks() == []
    list(read.rows("all"))
    return [line for line in read.remarks() if not line.startswith("split: ")]


# -- the rows


def test_it_keeps_every_rule_of_corpora(whole: Path, tmp_path: Path) -> None:
    report = testing.check_corpus(f"microlens,path={whole}", other_options={"videos": str(tmp_path)})
    assert report.ok
    assert not [note for note in report.notes if "is empty" in note]


def test_the_rows_are_the_videos_in_the_order_of_the_likes_with_counted_comments(whole: Path) -> None:
    rows = list(corpus(whole).rows("all"))
    order = [line.split("\t")[0] for line in (whole / LIKES).read_text().splitlines()]
    assert [row.id for row in rows] == order
    counts = Counter(line.split("\t")[1] for line in (whole / COMMENTS).read_text().splitlines())
    assert {row.id: row.popularity for row in rows} == {id_: counts[id_] for id_ in order}
    with (whole / TITLES).open(newline="") as file:
        sound = {cells[0]: cells[1] for cells in csv.reader(file) if len(cells) == 2 and '"' not in cells[1]}
    assert len(sound) > 50
    assert {row.id: row.title for row in rows if row.id in sound} == sound
    assert {row.tag for row in rows} == set(made.TOPICS)
    assert all(row.caption.startswith("A clip that shows") and row.description == "" for row in rows)


def test_the_parts_are_drawn_over_all_videos_of_the_likes(whole: Path) -> None:
    order = [line.split("\t")[0] for line in (whole / LIKES).read_text().splitlines()]
    expected = parts(order)
    for part in ("train", "valid", "test"):
        assert [row.id for row in corpus(whole).rows(part)] == [id_ for id_ in order if expected[id_] == part]


def test_a_video_left_out_moves_no_other_to_another_part(whole: Path, copied: Path) -> None:
    before = {row.id for row in corpus(whole).rows("test")}
    lines = (copied / TITLES).read_text().splitlines(keepends=True)
    (copied / TITLES).write_text("".join(lines[10:]))
    assert {row.id for row in corpus(copied).rows("test")} < before


def test_a_selection_is_said_to_be_split_otherwise(whole: Path) -> None:
    read = corpus(whole)
    assert read.note == ""
    list(read.rows("test"))
    assert read.remarks() == [
        "split: 300 videos here, MMRA's split is over 19,738: parts are of this selection",
    ]


def test_a_list_of_ids_decides_the_split_and_what_is_left_out_is_counted(whole: Path, tmp_path: Path) -> None:
    order = [line.split("\t")[0] for line in (whole / LIKES).read_text().splitlines()]
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(["video_id", *reversed(order[:200])]))
    read = corpus(whole, ids=str(ids))
    expected = parts(order[:200][::-1])
    assert {row.id for row in read.rows("test")} == {id_ for id_, part in expected.items() if part == "test"}
    assert f"ids: 100 videos that the list lacks left out (the first is video {order[200]})" in read.remarks()
    assert corpus(whole, ids=str(whole / LIKES)).note == ""
    assert every(whole, ids=str(whole / LIKES)) == every(whole)


# -- what is counted


def test_popularity_may_be_the_number_of_views_or_of_likes(whole: Path) -> None:
    lines = [line.split("\t") for line in (whole / LIKES).read_text().splitlines()]
    for at, counted in ((1, "likes"), (2, "views")):
        rows = every(whole, popularity=counted)
        assert {id_: row.popularity for id_, row in rows.items()} == {cells[0]: int(cells[at]) for cells in lines}
        comments = every(whole)
        assert list(rows) == list(comments)
        assert all(replace(row, popularity=0) == replace(comments[id_], popularity=0) for id_, row in rows.items())
        ids = [row.id for row in corpus(whole, popularity=counted).rows("test")]
        assert ids == [row.id for row in corpus(whole).rows("test")]


def test_a_number_that_cannot_be_read_is_not_guessed_and_its_video_is_left_out(tmp_path: Path) -> None:
    odd = ("", "1.2k", "1,234", "-4", "1.000", "nan", "inf", "0x10", "９", "1e3", "9" * 5000)
    lines = [f"{at}\t7\t{number}\textra" for at, number in enumerate(odd, 4)]
    sound = '1\tx\t9\r\n2\t6\t"9"\n3\t7\t 9.0 \n1\t5\t5\n'
    others = "".join(f"{at},Title\n" for at in range(1, 4 + len(odd)))
    folder = small(tmp_path, likes=sound + "\n".join(lines), titles=others, tags=others)
    assert {id_: row.popularity for id_, row in every(folder, popularity="views").items()} == {"1": 9, "2": 9, "3": 9}
    assert told(folder, popularity="views") == [
        f"{LIKES}: 1 line of a video that has one already skipped (the first is line 4)",
        f"{LIKES}: {len(odd)} videos whose number of views cannot be read left out (the first is video 4)",
    ]
    assert len(every(folder, popularity="likes")) == 2 + len(odd)
    assert f"{LIKES}: 1 video whose number of likes cannot be read left out (the first is video 1)" in told(
        folder, popularity="likes"
    )
    assert len(every(folder)) == 3 + len(odd)
    moved = {row.id for row in corpus(folder, popularity="views").rows("train")}
    assert moved == {"1", "2", "3"} & {row.id for row in corpus(folder).rows("train")}


def test_what_is_counted_is_part_of_what_results_depend_on_and_the_default_is_as_it_was(whole: Path) -> None:
    plain = corpus(whole)
    assert plain.fingerprint()["options"] == {"part": "test"}
    assert plain.content() == hashlib.sha256(f"split 1\nraw {RawFolder(whole).digest()}".encode()).hexdigest()[:32]
    assert corpus(whole, popularity="comments").fingerprint() == plain.fingerprint()
    found = [corpus(whole, popularity=counted) for counted in ("comments", "views", "likes")]
    assert len({one.content() for one in found}) == len({str(one.fingerprint()) for one in found}) == 3
    assert [one.label() for one in found] == ["microlens", "microlens[popularity=views]", "microlens[popularity=likes]"]
    line = refusal(lambda: load_registry().resolve("corpus", "microlens,popularity=shares"))
    assert "comments" in line
    assert "views" in line
    assert "likes" in line


# -- damage


def test_damaged_files_give_the_same_rows_and_the_damage_is_counted(whole: Path, copied: Path) -> None:
    malformed = damage(copied)
    assert every(copied) == every(whole)
    lines = told(copied)
    for name, count in malformed.items():
        size = len((whole / name).read_text().splitlines())
        lines_ = "1 malformed line" if count == 1 else f"{count} malformed lines"
        assert f"{name}: {lines_} skipped (the first is line {size + 1:,})" in lines
    assert len(lines) == len(malformed)


def test_headers_are_no_malformed_lines(tmp_path: Path) -> None:
    folder = small(
        tmp_path,
        titles="video_id,title\n1,First\n2,Second\n3,Third\n",
        likes="video_id\tlikes\tviews\n1\t5\t9\n2\t6\t9\n3\t7\t9\n",
        captions='"video_id"\tcaption\n1\tone\n',
        comments="user_id\tvideo_id\tcomment\nu\t1\tx\n",
        tags="Item,partition\n1,a\n2,b\n3,c\n",
    )
    assert [row.title for row in every(folder).values()] == ["First", "Second", "Third"]
    assert told(folder) == []


def test_the_first_line_of_a_video_counts(tmp_path: Path) -> None:
    folder = small(
        tmp_path,
        titles="1,First\n1,Again\n2,Second\n3,Third\n1,And again\n",
        likes="1\t1\t1\n2\t1\t1\n1\t2\t2\n3\t1\t1\n",
    )
    assert every(folder)["1"].title == "First"
    assert told(folder) == [
        f"{LIKES}: 1 line of a video that has one already skipped (the first is line 3)",
        f"{TITLES}: 2 lines of a video that has one already skipped (the first is line 2)",
    ]


def test_a_video_without_a_title_or_a_partition_is_left_out_and_one_without_a_caption_is_not(tmp_path: Path) -> None:
    folder = small(tmp_path, titles="2,  \n3,Third\n", tags="1,Game\n3,Anime\n", captions="1\tone\n")
    assert list(every(folder)) == ["3"]
    assert every(folder)["3"].caption == ""
    assert told(folder) == [f"{TITLES}: 2 videos without a title left out (the first is video 1)"]
    folder = small(tmp_path, tags="1,Game\n3,Anime\n")
    assert told(folder) == [f"{TAGS}: 1 video without a partition left out (the first is video 2)"]


def test_bytes_that_are_no_text_are_mended(tmp_path: Path) -> None:
    folder = small(tmp_path, titles=b"\xef\xbb\xbf1,caf\xe9\r\n2,\xe4\xbd\xa0\r\n3,Third\r\n")
    assert [row.title for row in every(folder).values()] == ["caf�", "你", "Third"]
    assert told(folder) == [f"{TITLES}: 1 line with bytes that are no UTF-8 mended (the first is line 1)"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("plain", "plain"),
        ("one, two,three,", "one, two,three,"),
        ('"quoted"', "quoted"),
        ('"one, two"', "one, two"),
        ('"say ""hi"", please"', 'say "hi", please'),
        ('say "hi", please', 'say "hi", please'),
        ('"Quoted" start, and more', '"Quoted" start, and more'),
        ('""doubled"" start', '""doubled"" start'),
        ('"never closed', '"never closed'),
        ('closed only"', 'closed only"'),
        ('"', '"'),
        ('"""all of it"""', '"all of it"'),
        ('"two\nlines"', "two\nlines"),
        ('"two,\n\n""more""\nlines"', 'two,\n\n"more"\nlines'),
        ('"first\n2, second"', "first\n2, second"),
        ("tab\there", "tab\there"),
        ("separator\u2028and\x0bfeed\x85", "separator\u2028and\x0bfeed"),
        ("emoji 🎬 你好", "emoji 🎬 你好"),
        ('"spaced"  ', "spaced"),
    ],
)
def test_nasty_titles_are_read_as_they_were_meant(tmp_path: Path, written: str, read: str) -> None:
    for end in ("\n", "\r\n"):
        titles = "".join(f"{line}\n" for line in (f"1,{written}", "2,Second", '3,"Third"')).replace("\n", end)
        folder = small(tmp_path, titles=titles)
        assert [row.title for row in every(folder).values()] == [read, "Second", "Third"]
        assert told(folder) == []


def test_a_quote_that_is_never_closed_swallows_no_other_video(tmp_path: Path) -> None:
    folder = small(tmp_path, titles='1,"never closed\n2,a 24"\n3,Third\n')
    assert [row.title for row in every(folder).values()] == ['"never closed', 'a 24"', "Third"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20), min_size=3, max_size=3))
def test_what_a_csv_writer_wrote_comes_back(tmp_path: Path, titles: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(zip("123", titles, strict=True))
    text = out.getvalue().replace('"1",', "1,", 1)
    folder = small(tmp_path, titles=text)
    wanted = {id_: title.strip() for id_, title in zip("123", titles, strict=True) if title.strip()}
    lines = text.split("\n")
    if any(sum(line.strip().startswith((f"{id_},", f'"{id_}",')) for line in lines) > 1 for id_ in "123"):
        return  # a title that looks like another line of the file
    if wanted:
        assert {id_: row.title for id_, row in every(folder).items()} == wanted
    else:
        assert "no video has a title" in refusal(lambda: every(folder))


# -- what is not there


def test_missing_folders_and_files_are_named_in_one_line(whole: Path, copied: Path, tmp_path: Path) -> None:
    (copied / TAGS).unlink()
    (copied / COMMENTS).unlink()
    (line,) = corpus(copied).check()
    assert line == f"path={copied}: the folder lacks {COMMENTS}, {TAGS}: download or copy what is missing"
    assert line == refusal(lambda: list(corpus(copied).rows("test")))
    assert line == refusal(corpus(copied).content)
    assert corpus(copied).fingerprint()["content"] is None
    (line,) = corpus(tmp_path / "none").check()
    assert "there is no such folder" in line
    (line,) = corpus(whole, videos=str(tmp_path / "no")).check()
    assert "videos=" in line
    (line,) = corpus(whole, ids=str(tmp_path / "no")).check()
    assert LIKES in line
    assert corpus(whole).check() == []


def test_files_without_any_video_are_refused(whole: Path, copied: Path, tmp_path: Path) -> None:
    (copied / LIKES).write_text("")
    assert "no videos in it" in refusal(lambda: every(copied))
    assert "no video has a title" in refusal(lambda: every(small(tmp_path / "b", titles="1;a\n2;b\n")))
    (tmp_path / "ids").write_text("\n")
    assert "no videos in it" in refusal(lambda: every(whole, ids=str(tmp_path / "ids")))


def test_a_revision_is_for_the_hub() -> None:
    line = refusal(lambda: load_registry().resolve("corpus", "microlens,path=/x,revision=main"))
    assert line == "corpus microlens: revision is for the data set on the hub: leave it out, or leave out path"


# -- what results depend on


def test_the_fingerprint_is_of_contents_and_not_of_places(whole: Path, copied: Path, tmp_path: Path) -> None:
    def found(folder: Path, **options: Any) -> str:
        return str(dict(corpus(folder, **options).fingerprint()))

    assert found(copied) == found(whole)
    assert str(copied) not in found(copied)
    ids = tmp_path / "ids"
    seen = {found(whole), found(whole, part="train")}
    for text in ("1\n2\n3\n", "2\n1\n3\n"):
        ids.write_text(text)
        seen.add(found(whole, ids=str(ids)))
    for name in (LIKES, TITLES, CAPTIONS, COMMENTS, TAGS):
        with (copied / name).open("a") as file:
            file.write("\n")
        seen.add(found(copied))
    assert len(seen) == 9
    assert corpus(whole).label() == "microlens"
    assert corpus(whole, part="all").label() == "microlens[part=all]"
    assert corpus(whole).known_as == "microlens"


def test_videos_are_those_that_are_there(copied: Path, tmp_path: Path) -> None:
    assert all(row.video is None for row in every(copied).values())
    (copied / "videos").mkdir()
    (copied / "videos" / "7.mp4").write_bytes(b"x")
    assert {id_: row.video for id_, row in every(copied).items() if row.video} == {"7": copied / "videos" / "7.mp4"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "8.mp4").write_bytes(b"x")
    rows = every(copied, videos=str(other))
    assert {id_: row.video for id_, row in rows.items() if row.video} == {"8": other / "8.mp4"}
    assert corpus(copied, videos=str(other)).fingerprint() == corpus(copied).fingerprint()
