"""A key is never written to a file or a terminal, even if a server repeats it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import chat_server
import command_line
import openai_servers as support
from command_line import Run
from openai_servers import ChatServer, ask, chat
from popbench.engines import pacing
from popbench_openai import calls
from popbench_openai.accepted import Accepted
from popbench_openai.answers import read
from popbench_openai.hiding import Hider
from popbench_openai.options import ChatOptions

TRACE = support.KEY[:12]
"""So much of the key may not be seen either."""


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run popbench on the command line with a key in the environment."""
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    monkeypatch.setenv(support.KEY_ENV, support.KEY)
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def _evaluate(run: Run, llm: str, *more: object) -> command_line.Done:
    """Run an evaluation with several modes; make sure that no trace of the key is anywhere afterwards."""
    ended = run(
        "eval", "--llm", llm, "--gen", "faulty", "--predictor", "faulty", "--task", "popcorn_concrete", "--limit", "12",
        "--mode", "basic", "--mode", "pe", "--corpus", "demo", "--out", "run", *more,
    )  # fmt: skip
    _assert_no_trace(ended)
    return ended


def _assert_no_trace(ended: command_line.Done) -> None:
    assert TRACE not in ended.out
    assert TRACE not in ended.err
    assert not support.holders(TRACE, Path())


def _spec(server: ChatServer, **options: Any) -> str:
    return support.spec(server, api_key_env=support.KEY_ENV, **options)


def test_a_key_repeated_in_completions_and_passing_faults_is_blotted_out(server: ChatServer, run: Run) -> None:
    server.reset(
        echo=True,
        key=support.KEY,
        faults=dict.fromkeys(chat_server.TRANSIENT, 0.03),
        retry_after=0.02,
    )
    ended = _evaluate(run, _spec(server, max_retries=12), "--json")
    assert ended.status == 0, ended.err
    assert server.log()[0]["authorization"] == f"Bearer {support.KEY}"
    rows = [json.loads(line) for line in Path("run/samples.jsonl").read_text().splitlines()]
    assert all("[key]" in row["completion"] for row in rows)


def _forms(key: str) -> dict[str, str]:
    """Return a key in the forms in which a server may repeat it."""
    return {
        "escaped": "".join(f"\\u{ord(char):04x}" for char in key),
        "escaped in part": key.replace("-", "\\u002D").replace("t", "\\u0074"),
        "escaped twice": "".join(f"\\\\u{ord(char):04X}" for char in key),
        "hexadecimal escapes": "".join(f"\\x{ord(char):02x}" for char in key),
        "in an address": "".join(f"%{ord(char):02X}" for char in key),
        "in HTML": "".join(f"&#{ord(char)};" for char in key),
        "bytes": key.encode().hex(),
        **{f"base64 {n}": base64.b64encode(b"Bearer "[n:] + key.encode() + b" x").decode() for n in range(4)},
        "base64 of addresses": base64.urlsafe_b64encode(f"user:{key}".encode()).decode(),
    }


@pytest.mark.parametrize("form", _forms(support.KEY))
def test_a_key_repeated_in_another_form_is_blotted_out(form: str, server: ChatServer, run: Run) -> None:
    written = _forms(support.KEY)[form]
    text = json.dumps({"title": f"Sent {written}", "video_prompt": f"A note that reads {written} on a desk."})
    server.reset(text=text.replace("\\\\", "\\") if "escape" in form else text)
    ended = run(
        "eval", "--llm", _spec(server, structured="off"), "--task", "popcorn_concrete", "--limit", "2", "--mode",
        "basic",
        "--corpus", "demo", "--stop-after", "write", "--out", "run",
    )  # fmt: skip
    _assert_no_trace(ended)
    rows = [json.loads(line) for line in Path("run/samples.jsonl").read_text().splitlines()]
    assert all("[key]" in row["completion"] for row in rows)
    assert not support.holders(written, Path())
    assert not support.holders(json.dumps(written)[1:-1], Path())


@pytest.mark.slow
def test_no_form_of_a_key_is_in_a_run_or_on_its_board(server: ChatServer, run: Run) -> None:
    forms = _forms(support.KEY)
    text = json.dumps({"title": "On a desk", "video_prompt": " and ".join(forms.values())})
    server.reset(text=text, reasoning={"reasoning_content": " or ".join(forms.values())}, model=support.KEY)
    parts = ("--gen", "faulty", "--predictor", "faulty", "--corpus", "demo", "--task", "popcorn_concrete")
    eval_ = ("eval", "--llm", _spec(server, structured="off"), *parts, "--mode", "basic", "--out", "run")
    for command in (eval_, ("leaderboard", "add", "board", "run"), ("report", "run")):
        ended = run(*command)
        assert ended.status == 0, ended.err
        _assert_no_trace(ended)
    for written in forms.values():
        assert not support.holders(written, Path())
        assert not support.holders(json.dumps(written)[1:-1], Path())


def test_a_key_in_the_name_of_a_field_or_split_over_parts_is_blotted_out() -> None:
    hide = Hider(support.KEY)
    assert hide.of_json({support.KEY: [support.KEY, 1, None]}) == {"[key]": ["[key]", 1, None]}
    assert hide("nothing to hide: 100 % of C:\\users") == "nothing to hide: 100 % of C:\\users"
    body = {"choices": [{"message": {"content": [support.KEY[:9], support.KEY[9:]]}, "finish_reason": "stop"}]}
    options = ChatOptions(model="m", structured="off")
    assert read(Accepted(options).request(chat("parts")), body, 0.1, hide, options).text == "[key]"


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*chat_server.FATAL, "400", "context", "filter-400", "502-html"])
def test_a_key_repeated_in_an_error_is_blotted_out(fault: str, server: ChatServer, run: Run) -> None:
    server.reset(echo=True, every=fault, after=15, retry_after=0.02)
    ended = _evaluate(run, _spec(server, max_retries=1), "--json")
    assert ended.status == (0 if fault == "filter-400" else 1)
    told = ended.err + ended.out + Path("run/samples.jsonl").read_text()
    assert "[key]" in told


@pytest.mark.parametrize("length", range(220, 330, 6))
def test_a_key_is_blotted_out_where_a_long_message_is_cut_too(
    length: int, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(support.KEY_ENV, support.KEY)
    server.reset()
    told = f"{'x' * length} {support.KEY} {'y' * 300}"
    bodies: list[Any] = [
        {"error": {"message": told, "code": 400}},
        {"error": told},
        {"choices": [{"message": {"refusal": told}}]},
        {"choices": [{"message": {"content": told, "reasoning": told}, "finish_reason": "length"}]},
    ]
    raw = [json.dumps(body) for body in bodies] + [f"<html>{told}</html>", f"{'x' * (length - 200)} {told[length:]}"]
    chats = [
        one for n, text in enumerate(raw) for one in (chat(f"{length}-{n}", raw=text), chat(f"{length}-sound-{n}"))
    ]
    llm = support.make(server, api_key_env=support.KEY_ENV, max_retries=0, concurrency=1)
    for answer in ask(llm, chats).values():
        assert TRACE not in repr(answer)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["answer", "request", "client"])
def test_a_key_in_an_exception_of_the_plugin_is_blotted_out(
    where: str, server: ChatServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **more: object) -> None:
        try:
            raise KeyError(f"headers: {support.KEY}")
        except KeyError as error:
            raise RuntimeError(f"a bug near Bearer {support.KEY}") from error

    server.reset()
    match where:
        case "answer":
            monkeypatch.setattr(calls, "read", fails)
        case "request":
            monkeypatch.setattr(openai.AsyncOpenAI, "request", fails)
        case "client":
            monkeypatch.setattr(openai, "AsyncOpenAI", fails)
    ended = _evaluate(run, _spec(server))
    assert ended.status == 1
    assert "a bug near Bearer [key]" in ended.err


@pytest.mark.parametrize("key", ["sk-first-11111111\nsk-second-2222222", "“sk-quoted-33333333”"])
def test_a_key_that_no_header_takes_is_refused_without_being_shown(
    key: str, server: ChatServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(support.KEY_ENV, key)
    server.reset()
    ended = _evaluate(run, _spec(server))
    assert ended.status in (1, 2)
    assert support.KEY_ENV in ended.err
    for part in ("first-1", "second-2", "quoted-3"):
        assert part not in ended.err + ended.out
        assert not support.holders(part, Path())


def test_a_key_with_a_line_end_behind_it_works(server: ChatServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(support.KEY_ENV, f" {support.KEY}\r\n")
    server.reset(key=support.KEY)
    assert _evaluate(run, _spec(server)).status == 0


NAMES = (
    "token", "access_token", "accessToken", "auth", "key", "apikey", "bearer", "credentials", "cookie", "pass",
    "passwd",
    "secret", "session", "X-Api-Key", "client_secret", "Password", "hf_token", "subscription-key", "jwt",
)  # fmt: skip


@pytest.mark.parametrize(
    "option",
    [
        f"api_key_env={support.KEY}",
        f"api_key={support.KEY}",
        f"key={support.KEY}",
        f"base_url=http://user:{support.KEY}@127.0.0.1:9/v1",
        f"base_url=http://{support.KEY}@127.0.0.1:9/v1",
        f"base_url=http://127.0.0.1:9/v1?api-key={support.KEY}",
        f'extra_body={{"api_key":"{support.KEY}"}}',
        f'extra_body={{"headers":{{"Authorization":"Bearer {support.KEY}"}}}}',
        *(f'extra_body={{"{name}":"{support.KEY[8:]}"}}' for name in NAMES),
        f'extra_body={{"a":[{{"b":{{"auth":{{"user":"{support.KEY[8:]}"}}}}}}]}}',
        f'extra_body={{"a":[["{support.KEY}"]]}}',
        f'extra_body={{"{support.KEY}":1}}',
        f'extra_body={{"url":"https://me:{support.KEY[8:]}@host.example/x"}}',
        f'extra_body={{"url":"https://host.example/x?b=1&token={support.KEY[8:]}"}}',
        f'extra_body="{{\\"session\\":\\"{support.KEY[8:]}\\"}}"',
        f'extra_body={{"note":"{support.KEY[8:]}Z9y8X7w6"}}',
        f"provider={support.KEY}",
        f"label={support.KEY}",
    ],
)
def test_a_key_given_where_it_would_be_recorded_is_refused_without_being_repeated(option: str, run: Run) -> None:
    for arguments in (("--llm", f"openai,model=tiny,{option}"), ("--llm", f"gpt-4o,{option}")):
        ended = run("eval", *arguments, "--out", "run")
        assert ended.status == 2
        _assert_no_trace(ended)
        assert support.KEY[8:] not in ended.err + ended.out
        assert not support.holders(support.KEY[8:], Path())
        assert "env" in ended.err or "unknown option" in ended.err


@pytest.mark.parametrize("provider", ["OPENAI", "OPENROUTER"])
def test_a_secret_in_a_url_from_the_environment_is_refused_without_being_repeated(
    provider: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{provider}_API_KEY", support.KEY)
    monkeypatch.setenv(f"{provider}_BASE_URL", f"http://user:{support.KEY}@127.0.0.1:9/v1")
    ended = run("eval", "--llm", "gpt-4o" if provider == "OPENAI" else "deepseek-v3", "--out", "run")
    assert ended.status == 2
    assert f"{provider}_BASE_URL" in ended.err
    _assert_no_trace(ended)


def test_the_doctor_and_the_list_of_plugins_show_no_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, support.KEY)
    for command in (("doctor", "--offline"), ("plugins",), ("plugins", "--json")):
        ended = run(*command)
        assert ended.status == 0, ended.err
        assert "openai" in ended.out
        _assert_no_trace(ended)


def test_a_dry_run_shows_no_key(server: ChatServer, run: Run) -> None:
    server.reset()
    assert _evaluate(run, _spec(server), "--dry-run").status == 0
    assert not server.log()
