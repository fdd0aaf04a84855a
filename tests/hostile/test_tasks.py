"""Tasks, settings and videos of a stranger: data is read, and no YAML, template, loader or container runs anything."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import Run, in_process
from hostile_cases import SECRET, Evil, Outside, bomb, check_end, harmless, link, outside, pipe, steps
from made_tasks import task_file
from popbench.video import VideoError, copy, read_frames, sha256, video_info, write_mp4

Change = Callable[[Path, Outside], object]
"""Makes something of the folder of a task."""
FILE = "mine.yaml"
BLOCKS = "{%% block system %%}x{%% endblock %%}{%% block user %%}%s{%% endblock %%}"


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


def yaml_text(text: str) -> Change:
    return lambda task, of: (task / FILE).write_text(text.replace("CANARY", str(of.canary)), encoding="utf-8")


def keys(**changes: Any) -> Change:
    return lambda task, _: task_file(task, **changes)


def dataset(**values: Any) -> Change:
    return keys(dataset={"path": "json", "data_files": "mine.jsonl", **values})


def data(content: bytes) -> Change:
    return lambda task, _: (task / "mine.jsonl").write_bytes(content)


def template(text: str) -> Change:
    return lambda task, of: (task / "basic.j2").write_text(BLOCKS % text.replace("CANARY", str(of.canary)))


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../../../canary", b"\0" * 10_000_000)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../../../canary"), io.BytesIO())
    return file.getvalue()


def scripted(task: Path, of: Outside) -> None:
    folder = task / "loader"
    folder.mkdir()
    (folder / "loader.py").write_text(f"import os\nos.mkdir({str(of.canary)!r})\n")
    (folder / "rows.jsonl").write_text('{"prompt": "x"}\n')
    task_file(task, dataset={"path": "loader"}, fields={"prompt": "prompt"})


def pickled(task: Path, of: Outside) -> None:
    (task / "x.pkl").write_bytes(pickle.dumps(Evil(of.canary)))
    task_file(task, dataset={"path": "pandas", "data_files": "x.pkl"})


def referred(task: Path, of: Outside) -> None:
    """Name a file system whose description fsspec fills in as a template."""
    call = f"{{{{ cycler.__init__.__globals__.os.mkdir('{of.canary}') }}}}"
    (task / "refs.json").write_text(json.dumps({"version": 1, "templates": {"u": call}, "refs": {}}))
    task_file(task, dataset={"path": "json", "data_files": f"reference://x::file://{task}/refs.json"})


def parquet(rows: int, prompt: str) -> Change:
    """Write so many equal rows, which take next to nothing in the file."""

    def change(task: Path, _: Outside) -> None:
        values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([prompt]))
        pq.write_table(pa.table({"prompt": values}), task / "rows.parquet")
        assert (task / "rows.parquet").stat().st_size < 3_000_000
        task_file(task, dataset={"path": "parquet", "data_files": "rows.parquet"}, fields={"prompt": "prompt"})

    return change


TASKS: dict[str, tuple[Change, str]] = {
    # YAML
    "python-in-yaml": (yaml_text("!!python/object/apply:os.mkdir ['CANARY']"), "not valid YAML"),
    "python-new-in-yaml": (yaml_text("!!python/object/new:os.mkdir ['CANARY']"), "not valid YAML"),
    "python-module-in-yaml": (yaml_text("task: !!python/module:antigravity"), "not valid YAML"),
    "laughs-by-the-billion": (yaml_text(bomb("[%s]")), "more than 50,000 values"),
    "merged-by-the-billion": (yaml_text(bomb("{<<: [%s]}")), "more than 50,000 values"),
    "within-itself": (yaml_text("task: &a {x: *a}"), "more than 50,000 values"),
    "a-date-that-is-none": (yaml_text("version: 2026-99-99"), "not valid YAML"),
    "a-number-without-end": (yaml_text("version: " + "9" * 5000), "a number is too long"),
    "yaml-is-a-pipe": (pipe(FILE), "not a regular file"),
    "yaml-is-a-device": (link(FILE, "/dev/zero"), "not a regular file"),
    "yaml-leads-out": (link(FILE), "not a task file"),
    "a-name-that-leads-out": (keys(task="../../evil"), "task: "),
    "a-version-that-steers": (keys(version="\x1b]0;owned\x07", description="\x1b[2J[red]x", group="a\nb"), ""),
    # data
    "a-pickle-as-data": (pickled, "unknown reader 'pandas'"),
    "a-database-as-data": (
        keys(dataset={"path": "sql", "sql": "SELECT 1", "con": "sqlite:////etc/passwd"}), "unknown key in dataset"
    ),
    "a-script-as-data": (keys(dataset={"path": "evil.py"}), "names a script, which is not run"),
    "a-folder-with-a-script": (scripted, ""),
    "remote-code": (dataset(trust_remote_code=True), "unknown key in dataset 'trust_remote_code'"),
    "a-cache-elsewhere": (dataset(cache_dir="/tmp/elsewhere"), "unknown key in dataset 'cache_dir'"),
    "options-of-file-systems": (dataset(storage_options={"fo": "x"}), "unknown key in dataset 'storage_options'"),
    "a-file-system-of-templates": (referred, "neither a path nor an address"),
    "a-service-of-this-machine": (dataset(data_files="http://127.0.0.1:9/x.jsonl"), "neither a path nor an address"),
    "a-file-system-of-commands": (dataset(data_files="ssh://example.invalid/x"), "neither a path nor an address"),
    "a-chain-of-file-systems": (dataset(data_files="zip://x::/etc/passwd"), "neither a path nor an address"),
    "a-separator-of-objects": (dataset(delimiter={"a": [1.5]}), "expected text or a number"),
    "gzip-of-anything": (data(gzip.compress(b"\0" * 20_000_000)), "is compressed (gzip)"),
    "bzip2-of-anything": (data(bz2.compress(b"\0" * 1_000_000)), "is compressed (bzip2)"),
    "zip-that-leads-out": (data(zipped()), "is compressed (zip)"),
    "tar-that-leads-out": (data(tarred()), "is compressed (tar)"),
    "a-million-rows-and-one": (parquet(1_000_001, "x"), "1,000,001 rows, of 1,000,000 at most"),
    "gigabytes-of-one-prompt": (parquet(200_000, "x" * 10_000), "larger than 512 MiB when it is unpacked"),
    "no-parquet": (
        steps(keys(dataset={"path": "parquet", "data_files": "mine.jsonl"}), data(b"PAR1" * 9)), "cannot be read"
    ),
    "data-is-a-pipe": (pipe("mine.jsonl"), "not a regular file"),
    "data-is-a-device": (link("mine.jsonl", "/dev/zero"), "not a regular file"),
    "data-of-a-long-name": (dataset(data_files="x" * 5000), ""),
    "data-with-nul": (dataset(data_files="a\0b"), ""),
    "data-nested-deeply": (data(b"[" * 100_000), "cannot be loaded"),
    "a-prompt-of-half-a-character": (data(b'{"id": "a", "prompt": "\\ud800", "category": "c"}\n'), ""),
    # templates
    "globals-of-an-object": (template("{{ prompt.__class__.__mro__ }}"), "unsafe"),
    "globals-of-a-function": (template("{{ ''.format.__globals__ }}"), "unsafe"),
    "globals-of-jinja": (template("{{ self.__init__.__globals__.os.mkdir('CANARY') }}"), "unsafe"),
    "globals-of-a-helper": (template("{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}"), "unsafe"),
    "a-format-that-looks-inside": (template("{{ '{0.__class__.__init__.__globals__}'.format(draft) }}"), "unsafe"),
    "rules-that-change": (template("{{ draft.__dict__.clear() }}"), "unsafe"),
    "a-range-without-end": (template("{% for i in range(999999999) %}{% endfor %}"), "Range too big"),
    "includes-the-parent": (template("{% include '../outside/secret.txt' %}"), "../outside/secret.txt"),
    "includes-the-root": (template("{% include '/etc/passwd' %}"), "/etc/passwd"),
    "includes-a-link": (steps(template("{% include 'l.j2' %}"), link("l.j2")), "leads out of the folder"),
    "includes-a-pipe": (steps(template("{% include 'p.j2' %}"), pipe("p.j2")), "not a regular file"),
    "includes-what-it-computes": (template("{% include prompt %}"), "by a computed name"),
    "includes-itself": (template("{% include 'basic.j2' %}"), ""),
    "a-template-is-a-device": (link("basic.j2", "/dev/zero"), "not found"),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_a_task_of_a_stranger_harms_nobody(popbench: Run, tmp_path: Path, of: Outside, name: str) -> None:
    task = task_file(tmp_path / "task").parent
    change, told = TASKS[name]
    change(task, of)
    with harmless(of):
        done = popbench("task", "show", task / FILE)
    check_end(done, plain=False)  # who writes templates wants to know what Jinja says
    assert told in done.err
    assert SECRET not in done.out


def test_the_task_itself_is_a_sound_one_and_the_traps_are_real(popbench: Run, tmp_path: Path, of: Outside) -> None:
    assert popbench("task", "show", task_file(tmp_path / "task")).status == 0
    pickle.loads(pickle.dumps(Evil(of.canary)))
    assert of.canary.exists()


SETTINGS: dict[str, tuple[str, bytes, str]] = {
    "nested-toml": ("x.toml", b"a = " + b"[" * 100_000, "nested too deeply"),
    "toml-of-no-text": ("x.toml", b"llm = '\xff'", "no UTF-8 text"),
    "toml-with-nul": ("x.toml", b"llm = '\0'", "cannot be read"),
    "a-number-without-end": ("x.toml", b"seed = " + b"9" * 5000, "a number is too long"),
    "a-seed-beyond-floats": ("x.toml", b"seed = 1e400", "expected a whole number"),
    "a-place-with-nul": ("x.toml", b'out = "a\\u0000b"', ""),
    "a-place-of-a-long-name": ("x.toml", b'out = "' + b"x" * 5000 + b'"', ""),
    "nested-json": ("x.json", b"[" * 200_000, "nested too deeply"),
    "json-of-a-list": ("x.json", b"[]", "not a configuration"),
    "an-open-quote": ("x.toml", b"llm = 'faulty,x=\"'", "not closed"),
    "a-label-that-steers": ("x.toml", b'llm = "faulty,label=\\u001b[2J"', "label"),
    "a-setting-of-the-language": ("x.json", b'{"__class__": 1}', "unknown setting"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_stranger_harm_nobody(popbench: Run, tmp_path: Path, of: Outside, name: str) -> None:
    file, content, told = SETTINGS[name]
    (tmp_path / file).write_bytes(content)
    with harmless(of):
        done = popbench("eval", "--config", file, "--dry-run", "--task", task_file(tmp_path / "task"))
    check_end(done)
    assert done.status == 2
    assert told in done.err


VIDEOS: dict[str, Change] = {
    "text": lambda path, _: path.write_text(SECRET),
    "a-playlist": lambda path, of: path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{of.secret}\n#EXT-X-ENDLIST\n"),
    "a-list-of-files": lambda path, of: path.write_text(f"ffconcat version 1.0\nfile '{of.secret}'\n"),
    "an-address": lambda path, _: path.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
    "a-picture-of-links": lambda path, of: path.write_text(f"<svg><image href='file://{of.secret}'/></svg>"),
    "a-pipe": lambda path, _: os.mkfifo(path),
    "a-device": lambda path, _: path.symlink_to("/dev/zero"),
    "nothing": lambda path, _: path.touch(),
    "a-pickle": lambda path, of: path.write_bytes(pickle.dumps(Evil(of.canary))),
    "a-box-without-end": lambda path, _: path.write_bytes(b"\xff\xff\xff\xffftypisom" + b"\0" * 64),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_of_a_stranger_is_refused_in_one_line(tmp_path: Path, of: Outside, name: str) -> None:
    path = tmp_path / "clip.mp4"
    VIDEOS[name](path, of)
    for read in (video_info, read_frames):
        with harmless(of), pytest.raises(VideoError) as caught:
            read(path)
        assert len(str(caught.value).splitlines()) == 1
        assert SECRET not in str(caught.value)


def test_what_is_copied_or_hashed_is_a_file_and_no_link_is_written_through(tmp_path: Path, of: Outside) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "clip.mp4").write_bytes(b"x")
    (tmp_path / "link").symlink_to(of.secret)
    with harmless(of):
        with pytest.raises(OSError, match="not a regular file"):
            sha256(tmp_path / "pipe")
        with pytest.raises(OSError, match="not a regular file"):
            copy(tmp_path / "pipe", tmp_path / "new")
        copy(tmp_path / "clip.mp4", tmp_path / "link")


def test_a_header_that_claims_enormous_pictures_costs_no_memory(tmp_path: Path, of: Outside) -> None:
    path = tmp_path / "clip.mp4"
    write_mp4(np.full((2, 32, 48, 3), 90, np.uint8), 8, path)
    content, size = path.read_bytes(), struct.pack(">HH", 48, 32)
    assert size in content
    path.write_bytes(content.replace(size, struct.pack(">HH", 65535, 65535)))  # pictures of 12 GB
    with harmless(of), suppress(VideoError):
        assert read_frames(path, 4).shape[1:] == (32, 48, 3)  # the pictures themselves say what they are
