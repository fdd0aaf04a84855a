"""Folders of local language models: what is part of the fingerprint, and changes during a run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench import local, testing
from popbench_transformers import loading
from popbench_transformers.files import LAYOUT
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import build, tiny


def folder_digest(folder: Path) -> str:
    return local.folder_digest(folder, LAYOUT)


def make(model: str | Path, **options: Any) -> TransformersLLM:
    return TransformersLLM(TransformersOptions(model=str(model), max_new_tokens=3, **options))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny(), tmp_path / "model"))


def test_an_adapter_without_its_base_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (line,) = make(tmp_path).check()
    assert "it holds an adapter, not a whole model: merge it into its base model" in line


@pytest.mark.parametrize("what", ["weights", "template", "while loading"])
def test_a_model_that_changed_after_the_plan_is_not_used(
    what: str, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[-1]['content'] }}", encoding="utf-8")
    llm = make(copied, chat_template=str(template))
    before = llm.fingerprint()
    if what == "template":
        template.write_text("hello", encoding="utf-8")
    elif what == "weights":
        build(copied, seed=99)
    else:
        load = loading.load

        def swapping(*given: Any) -> Any:
            found = load(*given)
            build(copied, seed=99)
            return found

        monkeypatch.setattr(loading, "load", swapping)
    with pytest.raises(popbench.ComponentError, match="changed since the run was planned: run the same command again"):
        list(llm.generate(testing.sample_chats()[:1]))
    assert llm.fingerprint() == before
    assert make(copied, chat_template=str(template)).fingerprint() != before


def test_templates_in_sub_folders_are_in_the_fingerprint_and_other_files_not(copied: Path) -> None:
    before = folder_digest(copied)
    for name in ("runs/events.json", ".cache/config.json", "additional_chat_templates/README.md"):
        (copied / name).parent.mkdir()
        (copied / name).write_text("{}", encoding="utf-8")
    assert folder_digest(copied) == before
    found = {before}
    for name in ("additional_chat_templates/default.jinja", "sub/config.json", "sub/tokenizer.json"):
        (copied / name).parent.mkdir(exist_ok=True)
        (copied / name).write_text("hello", encoding="utf-8")
        found.add(folder_digest(copied))
    assert len(found) == 4


def test_large_texts_in_a_folder_are_not_read_whole(copied: Path) -> None:
    file = copied / "data.txt"
    with file.open("wb") as data:
        data.truncate(20 * 2**30)  # sparse: takes no room
    started = time.perf_counter()
    before = folder_digest(copied)
    assert time.perf_counter() - started < 3
    with file.open("r+b") as data:
        data.write(b"other")
    assert folder_digest(copied) != before
