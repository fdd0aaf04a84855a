"""GGUF files as models: a file, one of a folder, one of a repository, and what is refused of them in one line."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hub_cache
import llama_server
import popbench
import tiny_gguf
from hub_cache import COMMIT
from popbench import testing
from popbench_transformers.llm import TransformersLLM
from popbench_transformers.options import TransformersOptions
from tiny_llms import TEMPLATES, build, tiny


def make(model: str | Path, **options: Any) -> TransformersLLM:
    given = {"max_new_tokens": 6, "device": "cpu", **options}
    return TransformersLLM(TransformersOptions(model=str(model), **given))


def only(llm: TransformersLLM) -> str:
    (line,) = llm.check()
    assert "\n" not in line
    return line


def answers(llm: TransformersLLM, count: int = 2) -> list[str]:
    chats = testing.sample_chats()[:count]
    try:
        found = {answer.id: answer for answer in llm.generate(chats)}
    finally:
        llm.close()
    texts = []
    for chat in chats:
        answer = found[chat.id]
        assert isinstance(answer, popbench.Completion), answer
        texts.append(answer.text)
    return texts


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tiny(), tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf")


@pytest.fixture
def copied(file: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "models" / file.name
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    return copy


def test_a_gguf_file_answers_as_the_folder_that_it_was_made_from(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    llm = make(file, temperature=0.0)
    assert llm.check() == []
    found = [re.sub("<unused[0-9]+>", "", text) for text in answers(llm)]  # ids that the folder's tokenizer lacks
    assert found == answers(make(tiny(), temperature=0.0))
    assert capfd.readouterr() == ("", "")
    assert llm.label() == "tiny-f32.gguf[temperature=0.0,max_new_tokens=6]"


@pytest.mark.slow
def test_a_quantized_file_with_structured_answers_gives_drafts(tmp_path: Path) -> None:
    blocks = tiny_gguf.write(tiny(), tmp_path / "tiny-q8.gguf", quantized=True)
    llm = make(blocks, structured=True, max_new_tokens=48)
    assert llm.check() == []
    assert all(text.startswith('{"title":') for text in answers(llm))
    assert make(blocks).needs().memory_gb <= 0.1


def test_tokenizer_context_and_template_are_those_in_the_file(tmp_path: Path) -> None:
    source = build(tmp_path / "source", context=400)
    short = tiny_gguf.write(source, tmp_path / "short.gguf", template=TEMPLATES["no-system"])
    messages = testing.sample_chats()[0].messages
    llm = make(short)
    reader = llm._reading()
    assert reader.context == 400
    assert "system" not in reader.tokenizer.decode(reader.format.encode(messages).tokens).split("user", 1)[0]
    bare = make(tiny_gguf.write(source, tmp_path / "bare.gguf", template=None))._reading()
    assert bare.tokenizer.decode(bare.format.encode(messages).tokens).endswith("Answer:\n")


def test_files_beside_a_gguf_file_change_nothing(copied: Path) -> None:
    before = make(copied).fingerprint()
    expected = answers(make(copied, temperature=0.0))
    (copied.parent / "chat_template.jinja").write_text("{{ raise_exception('not this one') }}", encoding="utf-8")
    (copied.parent / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (copied.parent / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    (copied.parent / "generation_config.json").write_text('{"do_sample": true, "temperature": 9.0}', encoding="utf-8")
    assert make(copied).fingerprint() == before
    assert answers(make(copied, temperature=0.0)) == expected


def test_every_way_to_name_a_file_is_one_model(
    file: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = copied.name
    ways = [
        make(file), make(copied), make(f"models/{name}"), make(f"./models/{name}"), make(f"~/models/{name}"),
        make("models", gguf_file=name), make(copied.parent, gguf_file=name),
    ]  # fmt: skip
    assert [way.check() for way in ways] == [[]] * len(ways)
    assert len({str(way.fingerprint()) for way in ways}) == 1
    assert "gguf_file" not in str(make(tiny()).fingerprint())
    assert "context" not in str(make(tiny()).fingerprint()["options"])
    copied.rename(copied.parent / "blob")  # as programs keep them
    assert answers(make("models/blob", temperature=0.0)) == answers(make(file, temperature=0.0))


def test_another_file_is_another_model(copied: Path, tmp_path: Path) -> None:
    before = make(copied)
    known = before.fingerprint()
    tiny_gguf.write(build(tmp_path / "other", seed=1), copied)
    assert make(copied).fingerprint() != known
    with pytest.raises(popbench.ComponentError, match="changed since the run was planned"):
        list(before.generate(testing.sample_chats()[:1]))


def _entry(key: str, value: str) -> bytes:
    def text(of: str) -> bytes:
        return struct.pack("<Q", len(of)) + of.encode()

    return text(key) + struct.pack("<I", 8) + text(value)


def _header(tensors: int, *entries: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, len(entries)) + b"".join(entries)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"", "is empty: copy or download it again"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs"),
        (lambda data: b"PK\3\4" + data[4:], "it is no GGUF file: give a GGUF file, or the folder of a model"),
        (lambda data: b"GG", "it is no GGUF file"),
        (lambda data: data[:20], "it ends inside its header: copy or download it again"),
        (lambda data: data[:3000], "it ends inside its header"),
        (lambda data: data[:-1000], "by its header, so it is cut short: copy or download it again"),
        (lambda data: data[:4] + b"\x01" + data[5:], "it has version 1 of the GGUF format"),
        (lambda data: data[:4] + b"\0\0\0\3" + data[8:], "of the GGUF format, and transformers reads 2 and 3"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "it ends inside its header"),
        (lambda data: data[:16] + b"\xff" * 8 + data[24:], "copy or download it again"),
        (lambda data: _header(0) + b"\0" * 40, "the file holds no tensors, or does not say of which architecture"),
        (lambda data: _header(0, _entry("general.architecture", "llama")), "the file holds no tensors"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_in_one_line(
    copied: Path, damage: Callable[[bytes], bytes], says: str
) -> None:
    copied.write_bytes(damage(copied.read_bytes()))
    line = only(make(copied))
    assert line.startswith(f"model {copied}: ")
    assert says in line
    assert "hf download" not in line
    with pytest.raises(popbench.ComponentError) as caught:
        list(make(copied).generate(testing.sample_chats()[:1]))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"general.type": "adapter"}, "holds no language model but a part of one (adapter, llama)"),
        ({"general.type": "mmproj"}, "holds no language model but a part of one (mmproj, llama)"),
        ({"split.count": 3}, "is one part of several: join them with `llama-gguf-split --merge FIRST JOINED`"),
    ],
)
def test_a_part_of_a_model_is_told(tmp_path: Path, metadata: Any, says: str) -> None:
    assert says in only(make(tiny_gguf.write(tiny(), tmp_path / "part.gguf", metadata=metadata)))


def test_an_architecture_that_transformers_does_not_know_is_told(tmp_path: Path) -> None:
    strange = tiny_gguf.write(tiny(), tmp_path / "strange.gguf", architecture="strange")
    with pytest.raises(popbench.ComponentError) as caught:
        make(strange).fits(testing.sample_chats()[0].messages)
    assert "architecture strange is not supported" in str(caught.value)
    assert str(caught.value).endswith("llama.cpp or Ollama may read it: openai,model=NAME,base_url=URL")


def test_a_file_that_is_not_there_and_a_folder_of_several_are_told(copied: Path, tmp_path: Path) -> None:
    assert "the file none.gguf is not there, but the GGUF file tiny-f32.gguf" in only(make(copied.parent / "none.gguf"))
    assert "there is no such file; give one that exists" in only(make(tmp_path / "nowhere" / "none.gguf"))
    assert "there is no such file" in only(make("nowhere/none.gguf"))
    line = only(make(copied.parent))
    assert "it holds no config.json, but the GGUF file tiny-f32.gguf: choose one with gguf_file=NAME" in line
    (copied.parent / "deep").mkdir()
    for name in ("b.gguf", "deep/c.gguf"):
        (copied.parent / name).write_bytes(copied.read_bytes())
    line = only(make(copied.parent))
    assert "but the GGUF files b.gguf, deep/c.gguf, tiny-f32.gguf: choose one with gguf_file=NAME" in line
    assert make(copied.parent, gguf_file="deep/c.gguf").check() == []
    assert "the file d.gguf is not there" in only(make(copied.parent, gguf_file="d.gguf"))
    (tmp_path / "words.txt").write_text("words", encoding="utf-8")
    assert "it is no GGUF file: give a GGUF file, or the folder of a model" in only(make(tmp_path / "words.txt"))
    (tmp_path / "words.json").write_text("{}", encoding="utf-8")
    assert "it is no folder; give the folder of a transformers model, or a hub id" in only(
        make(tmp_path / "words.json")
    )
    assert make(tiny() / "config.json").fingerprint()["weights"] == make(tiny()).fingerprint()["weights"]
    assert "revision=main is for hub models; leave it out for a file" in only(make(copied, revision="main"))


def test_quantizing_a_gguf_file_once_more_is_refused(copied: Path) -> None:
    assert "quantization=4bit is not possible with a GGUF file" in only(make(copied, quantization="4bit"))


def test_a_file_of_a_repository_is_taken_from_the_hub_s_cache(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = hub_cache.empty(tmp_path / "hub", monkeypatch)
    there = tmp_path / "repository"
    (there / "q").mkdir(parents=True)
    for name in ("a.gguf", "q/b.gguf"):
        (there / name).write_bytes(file.read_bytes())
    hub_cache.model(cache, "org/files", there)
    for name in ("a.gguf", "q/b.gguf"):
        llm = make("org/files", gguf_file=name, temperature=0.0)
        assert llm.check() == []
        assert llm.fingerprint()["weights"] == COMMIT
        assert llm.fingerprint()["options"]["gguf_file"] == name
        assert answers(llm, 1) == answers(make(file, temperature=0.0), 1)
    line = only(make("org/files"))
    assert "it holds no config.json, but the GGUF files a.gguf, q/b.gguf: choose one with gguf_file=NAME" in line
    line = only(make("org/elsewhere", gguf_file="a.gguf"))
    assert "run `hf download org/elsewhere a.gguf`" in line


@pytest.mark.slow
@pytest.mark.skipif(bool(llama_server.lacks_model()), reason=llama_server.lacks_model())
def test_a_real_small_model_answers() -> None:
    model = llama_server.model_file()
    assert model is not None
    llm = make(model, structured=True, max_new_tokens=24, dtype="float32")
    assert llm.check() == []
    assert llm.needs().memory_gb == pytest.approx(0.5, abs=0.2)
    (text,) = answers(llm, 1)
    assert text.startswith('{"title":"')
