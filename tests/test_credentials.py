"""What looks like a credential is known by its name or its value, and no spec of a component may hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import in_process
from openai_servers import holders
from popbench.credentials import credentials_in, names_credential, random_value, secret_name, secret_value

NAMES = [
    "token", "access_token", "accessToken", "auth", "X-Auth", "Authorization", "authentication", "key", "api_key",
    "apikey", "API-KEY", "X-API-Key", "openai_key", "bearer", "credentials", "cookie", "pass", "passwd", "password",
    "Password", "passphrase", "secret", "client_secret", "clientSecret", "session", "session_id", "sessionid", "pat",
    "jwt", "login", "privateKey", "Ocp-Apim-Subscription-Key", "hf_token", "authtoken", "secretAccessKey",
    "signature", "oauth", "oauth2", "creds", "passcode", "api_key2", "token_1", "Passwort", "mot_de_passe",
    "contraseña", "密码", "otp", "X-CSRF",
]  # fmt: skip
OTHERS = [
    "max_tokens", "tokens_per_minute", "max_completion_tokens", "thinking_budget_tokens", "eos_token_id", "pad_token",
    "stop_token", "tokenizer", "add_special_tokens", "skip_invalid_tokens", "keyframes", "key_frames", "monkey",
    "prompt_cache_key", "api_key_env", "author", "passthrough", "bypass", "compass", "user", "reasoning_effort",
    "secretary", "service_tier", "price_per_token", "image_token",
]  # fmt: skip


def test_a_field_that_holds_a_credential_is_known_by_its_name() -> None:
    assert [name for name in NAMES if not secret_name(name)] == []
    assert [name for name in OTHERS if secret_name(name)] == []


VALUES = (
    "sk-proj-0123456789", "ghp_0123456789ab", "github_pat_0123456789", "hf_AbCdEfGhIj", "xoxb-0123456789",
    "gsk_a1b2c3d4e5f6g7",    "AKIAABCDEFGHIJKLMNOP", "AIza" + "b1" * 16, "eyJhbGciOiJub25l.eyJzdWIiOiJtZSJ9.c2ln",
    "Bearer abc123def", "Authorization: x", "X-Api-Key: abc", "password=abc",
    "Basic bWU6aXQ=",    "https://me:it@host/x", "https://host/x?api-key=1", "https://host/x?a=1&sig=zz",
    "-----BEGIN PRIVATE KEY-----\nx",
)  # fmt: skip
RANDOM = ("Q7w2E9r4T1y6U3i8", "TOPSECRET-12", "my-password-1", "9f86d081884c7d659a2feaa0c55ad015")
PLAIN = (
    "meta-llama/Llama-3.3-70B-Instruct-Turbo", "Qwen/Qwen3-235B-A22B-Instruct-2507", "low",
    "claude-sonnet-4-5-20250929",    "550e8400-e29b-41d4-a716-446655440000", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "http://127.0.0.1:8000/v1?page=2",    "the secret of 3 foxes", "/srv/models/SmolLM2-135M-Instruct.Q4_K_M.gguf",
    "task-management-system", "sk", "Title: a key", "http://key:8000", "size: 3", "git@host:a/b",
)  # fmt: skip


def test_a_credential_is_known_by_its_value() -> None:
    assert [value for value in VALUES if not secret_value(value)] == []
    assert [value for value in RANDOM if not random_value(value)] == []
    assert [value for value in PLAIN if secret_value(value) or random_value(value)] == []


def test_the_places_of_credentials_are_told_at_any_depth() -> None:
    given = {
        "headers": json.dumps({"Authorization": "x", "Accept": "text/plain"}),
        "a": [{"token": "abc"}, {"auth": {"user": {"name": "me"}}}, {"pass": 1, "cookie": None, "secret": True}],
        "pin": {"password": 123456},
        "sk-0123456789abc": 1,
        "lines": ["Accept: text/plain", "X-Api-Key: x"],
        "pairs": [["Accept", "text/plain"], ["Authorization", "x"]],
        "fields": [{"name": "Accept", "value": "x"}, {"name": "Cookie", "value": "x"}, {"key": "k", "value": 3}],
    }
    assert list(credentials_in(given)) == [
        "headers.Authorization", "a.token", "a.auth.user.name", "pin.password", "the name of an option",
        "lines", "pairs.Authorization", "fields.value",
    ]  # fmt: skip


def test_a_label_with_a_credential_in_its_options_is_known() -> None:
    assert names_credential('m[extra_body={"a":1,"token":"abc"},seed=false]|basic|ltx')
    assert names_credential("sk-0123456789abc|basic|ltx")
    for label in ('m[extra_body={"reasoning_effort":"low"}]|pe[k=20]|ltx', "m[temperature=0.2]|basic|a{b", "human"):
        assert not names_credential(label)


SECRET = "Hx7Kq2Lm9Vb4"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--llm", f"verbatim,label=sk-{SECRET}"),
        ("--gen", f"kinetic,label=ghp_{SECRET}"),
        ("--corpus", f"table,path=https://me:{SECRET}@host.example/a.csv"),
        ("--embedder", f"hashing,label=hf_{SECRET}"),
        ("--engine", f"ray,address=ray://host.example:1?token={SECRET}"),
        ("--llm", f"openai,model=sk-{SECRET}"),
        ("--llm", f'openai,model=m,extra_body={{"token":"{SECRET}"}}'),
    ],
)
def test_a_credential_in_any_spec_is_refused_and_never_written(
    arguments: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = in_process(monkeypatch, capsys, tmp_path)
    ended = run("eval", *arguments, "--task", "popcorn_concrete", "--limit", "1", "--out", "run")
    assert ended.status == 2
    assert "looks like a credential" in ended.line
    assert "environment" in ended.line
    assert SECRET not in ended.err + ended.out
    assert holders(SECRET, Path()) == []
