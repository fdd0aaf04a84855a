"""A server of OpenAI's files and batches, as a process of its own: it outlives the runs that are killed.

`python batch_server.py` prints its port. It keeps in memory which files and batches there are, and answers the lines of
a batch as `chat_server` answers chats. `POST /control/plan` sets what it does, see `PLAN`; `POST /control/log` returns
its batches. It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import chat_server

PLAN: dict[str, Any] = {
    "key": "good",  # the key that it takes
    "hours": 0.0,  # seconds that a batch takes
    "finish": False,  # whether all batches are over by now
    "status": "completed",  # what they come to; of `expired` and `cancelled` ones, the first `done` lines are answered
    "done": 0,
    "text": None,  # what every line is answered with, instead of a draft
    "faults": {},  # by number of a batch, from 0, then by that of a line: what is wrong with its answer, see FAULTS
    "rejected": None,  # the errors of batches, which then fail
    "room": 10**9,  # requests that batches at work may have; more than that fail, as for too many tokens
    "slow_reply": 0.0,  # seconds between the creation of a batch and the reply that says so
    "lost": 0,  # creations whose answer is lost
    "cut": 0,  # downloads that end half-way
    "down": [],  # methods that are answered with 503
    "lists": True,  # whether it lists batches
    "lags": 0,  # lists that lack all batches
    "late": False,  # whether batches are over before their files are there
    "gone": [],  # ids that are not there
    "batches": True,  # whether it has batches at all
    "echo": False,  # whether errors repeat the key
    "words": "",  # a status instead of that of the protocol
    "page": 100,
}
"""What it does."""

ERROR = {"message": "The server had an error", "type": "server_error", "param": None, "code": None}
FAULTS: dict[str, Any] = {
    "500": (500, {"error": ERROR}),
    "429": (429, {"error": {**ERROR, "message": "Rate limit reached", "code": "rate_limit_exceeded"}}),
    "400": (400, {"error": {**ERROR, "message": "max_tokens is too large", "type": "invalid_request_error"}}),
    "half": (400, {"error": {**ERROR, "message": "half of a character: \ud800"}}),
    "long": (400, {"error": {**ERROR, "message": "This model's maximum context length is 10 tokens."}}),
    "filter": (400, {"error": {**ERROR, "message": "flagged by the content filter", "code": "content_filter"}}),
    "quota": (429, {"error": {**ERROR, "message": "You exceeded your current quota", "code": "insufficient_quota"}}),
    "format": (400, {"error": {**ERROR, "message": "Invalid parameter: 'response_format' is not supported."}}),
    "system": (400, {"error": {**ERROR, "message": "messages[0].role: 'system' is not supported with this model"}}),
}
UNDONE = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


class Api:
    def __init__(self) -> None:
        self.plan = dict(PLAN)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.asked: list[str] = []
        self.answered: Counter[str] = Counter()
        self.lock = threading.RLock()

    def store(self, content: bytes) -> str:
        with self.lock:
            name = f"file-{len(self.files)}"
            self.files[name] = content
            return name

    def create(self, file: str) -> dict[str, Any]:
        with self.lock:
            requests = [json.loads(line) for line in self.files[file].splitlines()]
            at_work = sum(len(each["requests"]) for each in self.batches.values() if not self.over(each))
            name = f"batch_{len(self.batches)}"
            batch = {"id": name, "file": file, "requests": requests, "made": time.time(), "number": len(self.batches)}
            batch["errors"] = self.plan["rejected"]
            if at_work + len(requests) > self.plan["room"]:
                said = "Enqueued token limit reached for this model. Please try again once some batches are completed."
                batch["errors"] = [{"code": "token_limit_exceeded", "message": said, "param": None, "line": None}]
            batch["hours"] = self.plan["hours"]
            self.batches[name] = batch
            self.order.insert(0, name)
            return batch

    def over(self, batch: dict[str, Any]) -> bool:
        return bool(batch["errors"] or self.plan["finish"] or time.time() >= batch["made"] + batch["hours"])

    def described(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            status = "in_progress" if not self.over(batch) else "failed" if batch["errors"] else self.plan["status"]
            made = int(batch["made"])
            told = {"id": batch["id"], "object": "batch", "endpoint": "/v1/chat/completions", "errors": None,
                    "input_file_id": batch["file"], "completion_window": "24h", "status": self.plan["words"] or status,
                    "output_file_id": None, "error_file_id": None, "created_at": made, "completed_at": None,
                    "metadata": None, "request_counts": {"total": len(batch["requests"])}}  # fmt: skip
            if status == "failed":
                told["errors"] = {"object": "list", "data": batch["errors"]}
            elif self.over(batch):
                told["completed_at"] = made + 60 if status == "completed" else None
                if "results" not in batch:
                    batch["results"] = self.work(batch, status)
                told |= {} if self.plan["late"] else batch["results"]
            return told

    def work(self, batch: dict[str, Any], status: str) -> dict[str, Any]:
        outputs, errors = [], []
        faults = self.plan["faults"].get(str(batch["number"]), {})
        undone = UNDONE.get(status)
        for number, request in enumerate(batch["requests"]):
            line = {"id": f"batch_req_{number}", "custom_id": request["custom_id"], "response": None, "error": None}
            fault = faults.get(str(number), faults.get("all"))
            if undone and number >= self.plan["done"]:
                errors.append({**line, "error": {"code": undone, "message": "This request was not executed."}})
            elif fault in FAULTS:
                code, body = FAULTS[fault]
                errors.append({**line, "response": {"status_code": code, "request_id": f"req_{number}", "body": body}})
            elif fault != "missing":
                self.answered[request["custom_id"]] += 1
                body = self.answer(request["body"], fault)
                outputs.append({**line, "response": {"status_code": 200, "request_id": f"req_{number}", "body": body}})
        outputs.reverse()  # in no order that a client could go by
        files = {"output_file_id": outputs, "error_file_id": errors}
        return {
            name: self.store("".join(json.dumps(line) + "\n" for line in lines).encode())
            for name, lines in files.items()
            if lines
        }

    def answer(self, body: dict[str, Any], fault: str | None) -> dict[str, Any]:
        plan = {**chat_server.PLAN, "text": self.plan["text"]}
        digest = chat_server.identify(body["messages"], body.get("seed"))
        made = chat_server.completion(chat_server.Ask(digest, body, "", plan))
        choice = made["choices"][0]
        if fault == "refusal":
            choice["message"] = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        elif fault == "stopped":
            choice["finish_reason"] = "content_filter"
        elif fault == "empty":
            choice["message"]["content"] = ""
            made["usage"]["completion_tokens"] = 1
            made["usage"]["total_tokens"] = made["usage"]["prompt_tokens"] + 1
        return made


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/control/"):
            self.control(json.loads(raw or b"{}"))
        elif not self.allowed("POST"):
            return
        elif self.path == "/v1/files" and self.api.plan["batches"]:
            kind = str(self.headers.get("Content-Type")).encode()
            form = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + raw)
            parts = {str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
                     for part in form.walk() if not part.is_multipart()}  # fmt: skip
            assert parts["purpose"] == b"batch"
            content = parts["file"]
            assert isinstance(content, bytes)
            self.reply(200, {"id": self.api.store(content), "object": "file", "purpose": "batch", "bytes": len(content),
                             "created_at": int(time.time()), "filename": "x.jsonl", "status": "processed"})  # fmt: skip
        elif self.path == "/v1/batches" and self.api.plan["batches"]:
            body = json.loads(raw)
            assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
            made = self.api.create(body["input_file_id"])
            if self.api.plan["lost"]:
                self.api.plan["lost"] -= 1
                self.close_connection = True
                return
            time.sleep(self.api.plan["slow_reply"])
            self.reply(200, {**self.api.described(made), "status": "validating", "errors": None})
        elif self.path == "/v1/chat/completions":
            self.reply(200, self.api.answer(json.loads(raw), None))
        else:
            self.reply(404, {"error": {**ERROR, "message": f"Invalid URL (POST {self.path})"}})

    def do_GET(self) -> None:
        if not self.allowed("GET"):
            return
        parts, api = urlsplit(self.path), self.api
        _, _, kind, *rest = parts.path.split("/")
        known = api.files if kind == "files" else api.batches
        if kind == "batches" and not rest and api.plan["lists"]:
            after = parse_qs(parts.query).get("after", [""])[0]
            left = api.order[api.order.index(after) + 1 :] if after else api.order
            left = [] if api.plan["lags"] > 0 else left
            api.plan["lags"] -= 1
            page = [api.described(api.batches[name]) for name in left[: api.plan["page"]]]
            self.reply(200, {"object": "list", "data": page, "has_more": len(left) > len(page)})
        elif not rest or rest[0] not in known or rest[0] in api.plan["gone"]:
            self.reply(404, {"error": {**ERROR, "message": f"No such {kind} object: {rest}"}})
        elif kind == "batches":
            self.reply(200, api.described(api.batches[rest[0]]))
        elif rest[1:] == ["content"]:
            cut = api.plan["cut"] > 0
            api.plan["cut"] -= cut
            self.send(200, api.files[rest[0]], cut=cut)
        else:
            self.reply(200, {"id": rest[0], "object": "file", "purpose": "batch", "status": "processed"})

    def allowed(self, method: str) -> bool:
        plan = self.api.plan
        self.api.asked.append(f"{method} {self.path}")
        if self.headers.get("Authorization") != f"Bearer {plan['key']}":
            told = f" ({self.headers.get('Authorization')})" if plan["echo"] else ""
            self.reply(401, {"error": {**ERROR, "message": f"Incorrect API key provided{told}"}})
        elif method in plan["down"]:
            self.reply(503, {"error": {**ERROR, "message": "overloaded"}})
        else:
            return True
        return False

    def control(self, body: dict[str, Any]) -> None:
        if self.path == "/control/plan":
            self.api.plan = {**PLAN, **body}
            self.reply(200, {})
        elif self.path == "/control/log":
            batches = [{**batch, "ids": [request["custom_id"] for request in batch["requests"]]}
                       for batch in self.api.batches.values()]  # fmt: skip
            self.reply(200, {"batches": batches, "asked": self.api.asked, "answered": dict(self.api.answered)})
        elif self.path == "/control/forget":
            plan, Handler.api = self.api.plan, Api()
            Handler.api.plan = plan
            self.reply(200, {})

    def reply(self, status: int, body: Any) -> None:
        self.send(status, json.dumps(body).encode())

    def send(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the other end was killed
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    Handler.api = Api()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.daemon_threads = True
    print(serving.server_address[1], flush=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    sys.stdin.read()
