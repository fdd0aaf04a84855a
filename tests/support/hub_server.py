"""A hub on this machine for the hub's own client: repositories with commits and tags, in folders."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants

TOKEN = "hf_Test0Token0For0Tests"


class Hub:
    """Repositories by `datasets/lab/cats`: a folder of files, one of each commit, and tags by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.private: dict[str, bool] = {}
        self.commits: dict[str, list[tuple[str, str]]] = {}
        """By repository the id and the message of each commit."""
        self.tags: dict[str, dict[str, str]] = {}
        self.refuses = ""
        """What is refused: `create` or `tag`."""
        self.tokens: set[str] = set()

    def files(self, repository: str, version: str = "") -> Path:
        """Return the folder of a repository, or of the commit that a tag names."""
        commit = self.tags[repository][version] if version else self.commits[repository][-1][0]
        return self.root / "commits" / commit

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and content for a request."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if parts == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        if parts == ["api", "validate-yaml"]:
            text = json.loads(body)["content"]
            yaml.safe_load(text.split("---\n")[1])
            return 200, {"errors": [], "warnings": []}
        repository, verb = "/".join(parts[1:4]), parts[4] if len(parts) > 4 else ""
        if repository not in self.private:
            return 404, "RepoNotFound"
        match method, verb:
            case "GET", "tree":
                return 200, self._tree(repository)
            case "GET", "refs":
                tags = [
                    {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
                    for name, commit in self.tags[repository].items()
                ]
                return 200, {"branches": [], "converts": [], "tags": tags}
            case "POST", "preupload":
                files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
                return 200, {"files": files}
            case "POST", "commit":
                return self._commit(repository, body)
            case "POST", "tag":
                return self._tag(repository, parts[5], json.loads(body)["tag"])
        return 200, {"id": "/".join(parts[2:4]), "sha": None, "siblings": []}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if self.refuses == "create":
            return 403, "Forbidden"
        name = f"{asked.get('organization') or 'me'}/{asked['name']}" if "/" not in asked["name"] else asked["name"]
        repository = f"{asked.get('type', 'model')}s/{name}"
        if repository in self.private:
            return 409, {"url": f"https://huggingface.co/{repository}", "error": "Conflict"}
        self.private[repository] = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.commits[repository], self.tags[repository] = [], {}
        return 200, {"url": f"https://huggingface.co/{repository}"}

    def _tree(self, repository: str) -> list[dict[str, Any]]:
        if not self.commits[repository]:
            return []
        folder = self.files(repository)
        return [
            {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "oid": "0" * 40}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]

    def _commit(self, repository: str, body: bytes) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        oid = hashlib.sha1(f"{repository}{len(self.commits[repository])}".encode()).hexdigest()
        folder = self.root / "commits" / oid
        if self.commits[repository]:
            shutil.copytree(self.files(repository), folder)
        folder.mkdir(parents=True, exist_ok=True)
        for line in lines:
            if line["key"] == "deletedFile":
                (folder / line["value"]["path"]).unlink()
            elif line["key"] == "file":
                target = folder / line["value"]["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(line["value"]["content"]))
        self.commits[repository].append((oid, lines[0]["value"]["summary"]))
        return 200, {
            "commitUrl": f"https://huggingface.co/{repository}/commit/{oid}",
            "commitOid": oid,
            "pullRequestUrl": None,
        }

    def _tag(self, repository: str, revision: str, tag: str) -> tuple[int, Any]:
        if self.refuses == "tag":
            return 403, "Forbidden"
        if tag in self.tags[repository]:
            return 409, "Conflict"
        self.tags[repository][tag] = revision
        return 200, {}


@contextmanager
def serving(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a hub, to which the hub's client goes, with a token."""
    hub = Hub(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            hub.tokens.add(self.headers.get("Authorization", ""))
            status, content = hub.answer(self.command, self.path, body)
            data = json.dumps({"error": content} if isinstance(content, str) else content).encode()
            self.send_response(status)
            if isinstance(content, str):
                self.send_header("X-Error-Code", content)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - the names of the standard library

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
