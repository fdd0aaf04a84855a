"""Folders of data of a stranger: their cards name no file system, and no data outside of the folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

import hub_cache
from command_line import Run, in_process
from hostile_cases import Outside, bomb, check_end, harmless, outside
from made_tasks import leave_no_traces, task_file
from popbench.local import check_card, plain_places
from popbench_microlens.hub import HubData
from usage_errors import refusal

CALL = "{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}"
REFERENCES = {
    "version": 1,
    "templates": {"u": CALL},
    "refs": {"rows.jsonl": ["{{u}}"]},
    "gen": [{"key": CALL, "url": CALL, "dimensions": {"i": {"stop": 1}}}],
}
"""What a file system of fsspec fills in as templates as it is opened: older versions in no sandbox."""
OUTSIDE = (
    "/etc/passwd", "../mine.jsonl", "a/../../mine.jsonl", "~/rows.jsonl", "..", "http://127.0.0.1:9/rows.jsonl",
    "ssh://127.0.0.1:9/rows.jsonl", "zip://rows.jsonl::/etc/passwd", "reference://rows.jsonl::file://FOLDER/refs.json",
    "file:///etc/passwd", "simplecache::rows.jsonl",
)  # fmt: skip


def configured(place: str) -> str:
    return f"configs:\n- config_name: default\n  data_files: {json.dumps(place)}"


CARDS: dict[str, tuple[str, str]] = {
    **{place: (configured(place), "names data outside of its folder") for place in OUTSIDE},
    "by-splits": (
        'configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: ["rows.jsonl", "/etc/passwd"]',
        "names data outside of its folder: '/etc/passwd'",
    ),
    "a-folder": ("configs:\n- config_name: default\n  data_dir: /etc", "names data outside of its folder: '/etc'"),
    "python": ('configs: !!python/object/apply:os.mkdir ["CANARY"]', "could not determine a constructor"),
    "laughs": (bomb("[%s]"), "more than 50,000 values"),
    "plain": (configured("rows.jsonl"), ""),
    "other-settings": (configured("rows.jsonl") + "\nlicense: mit\nsource: https://example.invalid/x", ""),
    "functions": (configured("rows.csv") + '\n  converters: {prompt: "os.system"}', "cannot be loaded"),
}  # fmt: skip


@pytest.fixture
def popbench(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    leave_no_traces(monkeypatch, tmp_path_factory)
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def of(tmp_path: Path) -> Outside:
    return outside(tmp_path / "outside")


def data(folder: Path, card: str, of: Outside, name: str = "README.md") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text('{"prompt": "A cat"}\n', encoding="utf-8")
    (folder / "rows.csv").write_text("prompt\nA cat\n", encoding="utf-8")
    text = card.replace("FOLDER", str(folder)).replace("CANARY", str(of.canary))
    (folder / name).write_text(f"---\n{text}\n---\n# Cats\n" if name.endswith(".md") else text, encoding="utf-8")
    (folder / "refs.json").write_text(json.dumps(REFERENCES).replace("CANARY", str(of.canary)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", CARDS)
def test_the_card_of_a_folder_of_data_names_nothing_outside(
    popbench: Run, tmp_path: Path, of: Outside, name: str
) -> None:
    card, told = CARDS[name]
    task = task_file(tmp_path / "task", dataset={"path": "cats"}, fields={"prompt": "prompt"})
    data(task.parent / "cats", card, of)
    with harmless(of):
        done = popbench("task", "show", task)
    check_end(done, plain=False)  # datasets tells what it cannot read in its own words
    assert told in done.err
    assert (done.status == 0) == (told == "")


@pytest.mark.parametrize("card", [".huggingface.yaml", "README.md"])
def test_cards_of_both_names_and_any_ends_of_lines_are_looked_at(tmp_path: Path, of: Outside, card: str) -> None:
    folder = data(tmp_path / "cats", configured("/etc/passwd"), of, card)
    for ends in ("\n", "\r\n"):
        text = (folder / card).read_text(encoding="utf-8")
        (folder / card).write_text(text, encoding="utf-8", newline=ends)
        assert "names data outside of its folder: '/etc/passwd'" in refusal(lambda: check_card(folder))
    (folder / card).unlink()
    os.mkfifo(folder / card)
    assert "not a regular file" in refusal(lambda: check_card(folder))


def test_no_other_file_system_is_opened_while_data_are_read(tmp_path: Path, of: Outside) -> None:
    folder = data(tmp_path / "cats", "", of)

    def opened(protocol: str, **how: Any) -> object:
        return fsspec.filesystem(protocol, skip_instance_cache=True, **how)

    with plain_places():
        with plain_places():
            assert opened("file").ls(str(folder))  # type: ignore[attr-defined]
        for protocol in ("reference", "ssh", "zip", "memory", "github", "ftp", "simplecache"):
            with pytest.raises(ValueError, match=f"{protocol} is none of the places that data are read from"):
                opened(protocol, fo=str(folder / "refs.json"))
        with pytest.raises(ValueError, match="is none of the places"):
            fsspec.core.url_to_fs(f"reference://rows.jsonl::file://{folder}/refs.json")
        opened("https")
    opened("memory")  # and anybody else may, afterwards
    assert not of.canary.exists()


def test_cards_of_the_hub_name_nothing_outside(tmp_path: Path, of: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_cache.empty(tmp_path / "hub", monkeypatch)
    folder = data(tmp_path / "cats", configured("/etc/passwd"), of)
    monkeypatch.setattr(HubData, "_downloaded", lambda _: folder)
    hub = HubData("owner/cats", None, "train", "give path=FILE")
    assert "names data outside of its folder" in refusal(lambda: list(hub.rows(["prompt"])))
    data(folder, configured("rows.jsonl"), of)
    assert list(hub.rows(["prompt"])) == [{"prompt": "A cat"}]
