"""The hub's data set of MicroLens: its commit, its split, and messages when it is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

import hub_cache
import popbench
from hub_cache import COMMIT
from made_tasks import leave_no_traces
from microlens_files import LIKES, build
from popbench import testing
from popbench_microlens import hub
from popbench_microlens.microlens import DATA_SET, UNVERIFIED, MicroLens, MicroLensOptions
from popbench_microlens.split import VIDEOS, parts
from popbench_microlens.table import Table
from popbench_microlens.table_options import TableOptions
from usage_errors import refusal

OTHER = "89abcdef0123456789abcdef0123456789abcdef"
IDS = [str(VIDEOS - 3 * number) for number in range(200)]

Row = Mapping[str, Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty hub cache, and no hub."""
    leave_no_traces(monkeypatch, tmp_path_factory)
    return hub_cache.empty(tmp_path / "hub", monkeypatch)


def made(ids: Sequence[Any] = IDS, **changes: Any) -> list[dict[str, Any]]:
    """Rows as the data set has them; `changes` replace values of the third."""
    rows = [
        {
            "video_id": int(id_) if str(id_).isdigit() else id_,
            "title_en": f"Title {id_}",
            "cover_desc": f"Cover {id_}",
            "caption_en": f"Caption {id_}",
            "partition": ["Game", "Anime"][at % 2],
            "likes": at,
            "views": 10 * at,
            "comment_count": 7 * at,
        }
        for at, id_ in enumerate(ids)
    ]
    if changes:
        rows[2] = {**rows[2], **changes}
    return rows


def cached(
    cache: Path, rows: Sequence[Row] | None = None, commit: str = COMMIT, name: str = DATA_SET, form: str = "parquet"
) -> Path:
    return hub_cache.data_set(cache, name, made() if rows is None else rows, commit, form)


def corpus(**options: Any) -> MicroLens:
    return MicroLens(MicroLensOptions(**options))


def only(component: popbench.Corpus) -> str:
    (line,) = component.check()
    assert "\n" not in line
    return line


# -- rows


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_the_rows_are_those_of_the_data_set(cache: Path, form: str) -> None:
    cached(cache, form=form)
    read = corpus()
    assert read.check() == []
    rows = list(read.rows("all"))
    assert rows[3] == popbench.Reference(IDS[3], f"Title {IDS[3]}", f"Cover {IDS[3]}", f"Caption {IDS[3]}", "Anime", 21)
    assert [row.id for row in rows] == IDS
    assert read.remarks() == []


def test_it_keeps_every_rule_of_corpora(cache: Path, tmp_path: Path) -> None:
    cached(cache)
    cached(cache, made(title_en="Another"), commit=OTHER)
    report = testing.check_corpus("microlens", other_options={"revision": COMMIT, "videos": str(tmp_path)})
    assert report.ok
    assert not [note for note in report.notes if "is empty" in note]


def test_numbered_ids_are_split_over_all_numbers_and_others_over_their_order(cache: Path) -> None:
    cached(cache)
    numbered = parts([str(number) for number in range(1, VIDEOS + 1)])
    for part in ("train", "valid", "test"):
        assert [row.id for row in corpus().rows(part)] == [id_ for id_ in IDS if numbered[id_] == part]
    names = [f"v{id_}" for id_ in IDS]
    cached(cache, made(names))
    by_order = parts(names)
    read = corpus()
    assert [row.id for row in read.rows("test")] == [id_ for id_ in names if by_order[id_] == "test"]
    assert read.remarks() == ["split: 200 videos here, MMRA's split is over 19,738: parts are of this selection"]


def test_a_split_that_nothing_vouches_for_is_noted_and_one_over_a_list_of_ids_is_not(
    cache: Path, tmp_path: Path
) -> None:
    assert corpus().note == UNVERIFIED
    assert "split unverified" in UNVERIFIED
    raw = build(tmp_path / "raw", videos=300, comments=10)
    ids = str(raw / LIKES)
    assert corpus(ids=ids).note == corpus(path=str(raw)).note == ""
    cached(cache, made([str(number) for number in range(1, 311)]))
    read, other = corpus(ids=ids), corpus(path=str(raw))
    assert {row.id for row in read.rows("test")} == {row.id for row in other.rows("test")}
    assert "ids: 10 videos that the list lacks left out (the first is video 301)" in read.remarks()


def test_rows_that_lack_something_are_left_out_and_counted(cache: Path) -> None:
    rows = made(title_en=None)
    rows[5] |= {"partition": " "}
    rows[7] |= {"cover_desc": None, "caption_en": None}
    rows[9] |= {"video_id": rows[8]["video_id"]}
    cached(cache, rows)
    read = corpus()
    found = {row.id: row for row in read.rows("all")}
    assert len(found) == len(IDS) - 3
    assert (found[IDS[7]].description, found[IDS[7]].caption) == ("", "")
    assert read.remarks() == [
        f"{DATA_SET}: 1 video without a title left out (the first is video {IDS[2]})",
        f"{DATA_SET}: 1 video without a partition left out (the first is video {IDS[5]})",
        f"{DATA_SET}: 1 row of a video that stands there already skipped (the first is row 10)",
    ]


@pytest.mark.parametrize(("value", "says"), [(None, "is empty"), (-1, "-1.0 is below 0"), (float("inf"), "finite")])
def test_a_row_without_a_count_of_comments_is_named(cache: Path, value: Any, says: str) -> None:
    rows = [{**row, "comment_count": float(row["comment_count"])} for row in made(comment_count=0.0)]
    rows[2]["comment_count"] = value
    cached(cache, rows)
    line = refusal(lambda: list(corpus().rows("test")))
    assert f"row 3 (video {IDS[2]}): comment_count" in line
    assert says in line


def test_popularity_may_be_the_number_of_views_or_of_likes(cache: Path) -> None:
    rows = made()
    rows[4] |= {"views": None}
    cached(cache, rows)
    rest = [at for at in range(len(IDS)) if at != 4]
    read = corpus(popularity="views")
    assert [row.popularity for row in read.rows("all")] == [10 * at for at in rest]
    assert read.remarks() == [
        f"{DATA_SET}: 1 video whose number of views cannot be read left out (the first is video {IDS[4]})"
    ]
    assert [row.popularity for row in corpus(popularity="likes").rows("all")] == list(range(len(IDS)))
    assert [row.popularity for row in corpus().rows("all")] == [7 * at for at in range(len(IDS))]
    found = [corpus(popularity=counted).content() for counted in ("comments", "views", "likes")]
    assert len(set(found)) == 3


def test_a_data_set_without_likes_and_views_is_read_for_its_comments(cache: Path) -> None:
    cached(cache, [{key: value for key, value in row.items() if key not in ("likes", "views")} for row in made()])
    assert len(list(corpus().rows("all"))) == len(IDS)
    assert "unknown column" in refusal(lambda: list(corpus(popularity="likes").rows("all")))


def test_columns_that_are_not_there_are_told_with_the_closest(cache: Path) -> None:
    cached(
        cache,
        [
            {("comments_count" if key == "comment_count" else key): value for key, value in row.items()}
            for row in made()
        ],
    )
    line = refusal(lambda: list(corpus().rows("test")))
    assert f"unknown column of hub data set {DATA_SET} 'comment_count': did you mean 'comments_count'?" in line


def test_a_file_that_is_damaged_is_told_in_one_line(cache: Path) -> None:
    cached(cache).resolve().write_bytes(b"PAR1 and nothing more")
    assert f"hub data set {DATA_SET} cannot be read" in refusal(lambda: list(corpus().rows("test")))


# -- which commit


def test_the_content_is_the_commit_and_the_list_of_ids(cache: Path, tmp_path: Path) -> None:
    cached(cache, commit=OTHER)
    cached(cache)
    ids = tmp_path / "ids"
    ids.write_text("1\n2\n")
    found = [corpus().content(), corpus(revision=OTHER).content(), corpus(ids=str(ids)).content()]
    ids.write_text("2\n1\n")
    found.append(corpus(ids=str(ids)).content())
    assert len(set(found)) == 4
    assert corpus(revision=COMMIT).fingerprint() == corpus().fingerprint() != corpus(revision=OTHER).fingerprint()
    assert corpus(revision=COMMIT).label() != corpus(revision=OTHER).label()
    assert str(ids) not in str(corpus(ids=str(ids)).fingerprint())


def test_a_data_set_that_is_nowhere_is_told_with_what_to_do(cache: Path) -> None:
    line = only(corpus())
    assert "HF_HUB_OFFLINE is set" in line
    assert f"`hf download --repo-type dataset {DATA_SET}`" in line
    assert "path=FOLDER" in line
    assert "--corpus demo" in line
    assert refusal(lambda: list(corpus().rows("test"))) == line == refusal(corpus().content)
    assert corpus().fingerprint()["content"] is None
    assert "--revision v1" in only(corpus(revision="v1"))


def test_a_cache_that_lacks_a_shard_is_not_taken_for_the_data_set(cache: Path) -> None:
    file = cached(cache)
    file.rename(file.with_name("train-00000-of-00002.parquet"))
    assert "not complete in the local cache" in only(corpus())


# -- asking the hub


class Hub:
    """Answers as the hub's client would, and downloads into the cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", self.dataset_info)
        self._local = huggingface_hub.snapshot_download
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)
        self.cache = cache
        self.error: Exception | None = None
        self.silence = 0.0
        self.sends = COMMIT
        self.says: str | None = COMMIT
        self.calls: list[str] = []

    def dataset_info(self, *_: Any, **__: Any) -> Any:
        self.calls.append("info")
        time.sleep(self.silence)
        if self.error is not None:
            raise self.error
        return type("Info", (), {"sha": self.says})

    def snapshot_download(self, name: str, *, local_files_only: bool = False, **more: Any) -> str:
        if local_files_only:
            return str(self._local(name, local_files_only=True, **more))
        self.calls.append("download")
        return str(cached(self.cache, commit=self.sends).parent.parent)


def _refusal(name: str) -> Exception:
    """Make one of the client's errors without the response that it wants to be made from."""
    cls = getattr(errors, name)
    error: Exception = cls.__new__(cls)
    return error


def test_the_hub_is_asked_once_and_downloaded_from_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Hub(monkeypatch, cache)
    read = corpus()
    assert read.check() == []
    before = read.fingerprint()
    assert client.calls == ["info"]
    assert len(list(read.rows("all"))) == len(IDS)
    assert len(list(read.rows("test"))) > 0
    assert client.calls == ["info", "download"]
    assert read.fingerprint() == before == corpus().fingerprint()


def test_a_data_set_that_changes_before_it_is_downloaded_is_not_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Hub(monkeypatch, cache)
    client.sends = OTHER
    read = corpus()
    read.content()
    assert "changed since the run was planned" in refusal(lambda: list(read.rows("all")))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (_refusal("GatedRepoError"), "accept its terms at https://huggingface.co/datasets/"),
        (_refusal("RepositoryNotFoundError"), "no such data set"),
        (_refusal("RevisionNotFoundError"), "no revision"),
        (OSError("network\nis down"), "the hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_told_with_the_remedy(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    Hub(monkeypatch, cache).error = error
    assert says in only(corpus())


def test_a_mirror_that_does_not_say_the_commit_is_told_apart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, cache).says = None
    for made_of in (corpus(), corpus(revision="main"), table()):
        assert "does not say its commit: give revision=COMMIT" in only(made_of)
        assert made_of.fingerprint()["content"] is None
    given = corpus(revision=COMMIT)
    assert given.check() == []
    assert len(list(given.rows("all"))) == len(IDS)


def test_a_hub_that_does_not_answer_is_not_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, cache).silence = 60.0
    monkeypatch.setattr(hub, "_HUB_SECONDS", 0.1)
    started = time.perf_counter()
    assert "the hub cannot be reached" in only(corpus())
    assert time.perf_counter() - started < 30


# -- tables on the hub


def table(**options: Any) -> Table:
    given = {"path": "org/videos", "title": "title_en", "popularity": "comment_count", **options}
    return Table(TableOptions.model_validate(given))


def test_a_table_may_be_a_data_set_of_the_hub(cache: Path) -> None:
    assert "hf download --repo-type dataset org/videos" in only(table())
    cached(cache, name="org/videos")
    read = table(id="video_id", tag="partition")
    assert read.check() == []
    assert (read.content(), read.known_as, read.label()) == (COMMIT, "videos", "table[data=videos]")
    assert [row.id for row in read.rows("test")] == IDS
    assert testing.check_corpus(table(id="video_id")).ok
    assert table(revision=COMMIT).fingerprint() == table().fingerprint()
    assert table(revision="v1").fingerprint() != table().fingerprint()


def test_microlens_as_a_table_is_known_as_microlens_and_as_all_of_its_parts(cache: Path) -> None:
    """So that a run tells of predictors which were trained on any of its videos."""
    cached(cache)
    read = table(path=DATA_SET)
    assert (read.known_as, read.part) == ("microlens", "all")
    assert list(read.rows("all")) == list(read.rows("test"))
    assert table(path=DATA_SET.upper()).known_as == "microlens"
    assert table(path=DATA_SET, part="train").part == "train"
    sorted_ = table(path=DATA_SET, parts="partition")
    assert (sorted_.known_as, sorted_.part) == ("microlens", "test")
    assert (table(path=DATA_SET, name="mine").known_as, table(path=DATA_SET, name="mine").part) == ("mine", "test")
    assert (table(name="microlens").part, table().part) == ("all", "test")


def test_columns_and_splits_that_the_hub_lacks_are_told(cache: Path) -> None:
    cached(cache, name="org/videos")
    assert "did you mean 'title_en'?" in only(table(title="title"))
    line = only(table(split="trian"))
    assert "split=trian" in line
    assert "train" in line
    assert "no such file, and it is no data set of the hub" in only(table(path="a/b/c"))


def test_class_labels_of_a_hub_data_set_are_their_names(cache: Path) -> None:
    import datasets

    rows = {"name": ["A", "B", "C"], "topic": [1, 0, -1], "comments": [3, 2, 1]}
    features = {"name": datasets.Value("string"), "comments": datasets.Value("int64")}
    features |= {"topic": datasets.ClassLabel(names=["Music", "News"])}
    file = cached(cache, name="lab/videos")
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(file.resolve())
    options = {"path": "lab/videos", "title": "name", "popularity": "comments", "tag": "topic"}
    corpus = Table(TableOptions.model_validate(options))
    assert corpus.check() == []
    assert [row.tag for row in corpus.rows("all")] == ["News", "Music", "all"]
