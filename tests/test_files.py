"""Files are written whole or not at all, and no link is written through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from popbench.errors import UsageError
from popbench.files import copy_whole, refuse_url, replacing, sha256, write_whole


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.write_bytes(b"before")
    return path


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_when_it_is_whole(target: Path, shared: bool) -> None:
    with replacing(target, shared=shared) as part:
        part.write_bytes(b"after")
        assert target.read_bytes() == b"before"
    assert target.read_bytes() == b"after"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_file_as_it_was_and_no_part(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replacing(target) as part:  # noqa: PT012 - the file is written first
        part.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_of_other_bytes_than_wanted_replaces_nothing(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"after")
    assert copy_whole(source, target, sha256(target)) == sha256(source)
    assert target.read_bytes() == b"before"
    assert copy_whole(source, target, sha256(source)) == sha256(source)
    assert target.read_bytes() == b"after"
    assert sorted(tmp_path.iterdir()) == [source, target]


@pytest.mark.parametrize("write", [lambda path: write_whole(path, b"x"), lambda path: copy_whole(path, path)])
def test_nothing_is_written_through_a_link(target: Path, tmp_path: Path, write: Callable[[Path], object]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"another's")
    (tmp_path / ".target.part").symlink_to(elsewhere)
    write(target)
    assert elsewhere.read_bytes() == b"another's"


@pytest.mark.parametrize(
    "url", ["http://h/x", "https://h", "HTTPS://h", "s3://b/r", "hf://datasets/x", "file:///tmp/x", Path("gs://b/x")]
)
def test_a_url_is_refused_where_a_path_is_expected(url: str | Path) -> None:
    with pytest.raises(UsageError, match=r"^--out: .* looks like a URL"):
        refuse_url("--out", url)


@pytest.mark.parametrize("path", ["2026-11-30T05:10", "a:b/c:d", "http", "x/http://y", "run:1", "C:/runs", "//share/x"])
def test_a_path_with_a_colon_is_no_url(path: str) -> None:
    refuse_url("--out", path)
    refuse_url("--out", Path(path))
