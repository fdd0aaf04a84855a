"""A video API with a queue of jobs, as a process of its own: it outlives the runs that are killed.

`python video_api_server.py CLIP.mp4` prints its port. It serves the bytes of CLIP for every job, and keeps in memory
which jobs were created, by what key, and what was charged. `POST /control/plan` sets what it does, see `PLAN`;
`POST /control/log` returns its jobs. It ends with its standard input. The standard library is enough for it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PLAN: dict[str, Any] = {
    "key": "good",  # the key that it takes
    "render": 0.0,  # seconds that a job takes
    "finish": False,  # whether all jobs are done by now
    "spread": 1,  # of so many jobs one after the other, each takes longer than the one before, up to `render`
    "fail": "-",  # a word in the prompts of jobs that fail, at a price
    "refuse": "-",  # and of those that are refused, at a price too
    "slow_reply": 0.0,  # seconds between the acceptance of a job and the reply that says so
    "capacity": 1000,  # jobs at a time; above that, 429
    "retry_after": 0,
    "idempotent": True,  # whether it honours Idempotency-Key
    "link": 1000.0,  # seconds that a link is good for
    "keep": 1000.0,  # seconds after which a job is forgotten
    "down": [],  # methods that are answered with 503
    "cut": 0,  # downloads that end half-way
    "broken": 0,  # downloads of something that is no video
    "replies": {},  # by method, a status and a body instead of what it would do, after some time
}
"""What it does."""


class Api:
    def __init__(self, clip: bytes) -> None:
        self.clip = clip
        self.plan = dict(PLAN)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def busy(self) -> int:
        return sum(self.state(job) in ("queued", "running") for job in self.jobs.values())

    def state(self, job: dict[str, Any]) -> str:
        if not self.plan["finish"] and time.monotonic() < job["made"] + job["render"]:
            return "running"
        return str(job["comes_to"])

    def create(self, body: dict[str, Any], key: str) -> dict[str, Any] | None:
        """Return a new job, or that of the key; None if the queue is full."""
        with self.lock:
            if self.plan["idempotent"] and key:
                for job in self.jobs.values():
                    if job["key"] == key:
                        return job
            if self.busy() >= self.plan["capacity"]:
                return None
            words = body["prompt"].split()
            fates = {self.plan["fail"]: "failed", self.plan["refuse"]: "refused"}
            comes_to = next((fates[word] for word in words if word in fates), "succeeded")
            share = (len(self.jobs) % self.plan["spread"] + 1) / self.plan["spread"]
            job = {"id": f"job-{len(self.jobs)}", "key": key, "prompt": body["prompt"], "seed": body["seed"],
                   "seconds": body["seconds"], "made": time.monotonic(), "render": self.plan["render"] * share,
                   "comes_to": comes_to}  # fmt: skip
            self.jobs[job["id"]] = job
            return job


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/control/"):
            self.control(json.loads(raw or b"{}"))
        else:
            self.post(raw)

    def control(self, body: dict[str, Any]) -> None:
        if self.path == "/control/plan":
            self.api.plan = {**PLAN, **body}
            self.reply(200, {})
        elif self.path == "/control/log":
            self.reply(200, {"jobs": list(self.api.jobs.values()), "asked": self.api.asked})
        elif self.path == "/control/finish":
            running = [job for job in self.api.jobs.values() if self.api.state(job) == "running"]
            for job in running[: body["count"]]:
                job["render"] = 0.0
            self.reply(200, {})
        elif self.path == "/control/forget":
            self.api.jobs.clear()
            self.api.asked.clear()
            self.reply(200, {})

    def post(self, raw: bytes) -> None:
        if self.allowed("POST"):
            created = self.api.create(json.loads(raw), self.headers.get("Idempotency-Key") or "")
            if created is None:
                retry_after = {"Retry-After": str(self.api.plan["retry_after"])}
                self.reply(429, {"error": "the queue is full"}, retry_after)
                return
            time.sleep(self.api.plan["slow_reply"])
            self.reply(202, {"id": created["id"], "status": "queued"})

    def do_GET(self) -> None:
        if self.path.startswith("/files/"):
            self.file(self.path.removeprefix("/files/"))
        else:
            self.get()

    def get(self) -> None:
        if self.allowed("GET"):
            self.look(self.path.rpartition("/")[2])

    def allowed(self, method: str) -> bool:
        plan = self.api.plan
        self.api.asked.append(f"{method} {self.path}")
        if self.headers.get("Authorization") != f"Bearer {plan['key']}":
            self.reply(401, {"error": "unknown key"})
        elif method in plan["down"]:
            self.reply(503, {"error": "overloaded"})
        elif method in plan["replies"]:
            time.sleep(0.3)
            self.reply(*plan["replies"][method])
        else:
            return True
        return False

    def look(self, id_: str) -> None:
        job, plan = self.api.jobs.get(id_), self.api.plan
        if job is None or time.monotonic() > job["made"] + job["render"] + plan["keep"]:
            self.reply(410, {"error": "gone"})
            return
        state = self.api.state(job)
        answer = {"id": id_, "status": state, "billed_seconds": job["seconds"]}
        if state in ("failed", "refused"):
            answer["error"] = "the model failed" if state == "failed" else "the prompt breaks the rules"
        if state == "succeeded":
            answer["url"] = f"http://{self.headers['Host']}/files/{id_}?until={time.monotonic() + plan['link']}"
        self.reply(200, answer)

    def file(self, rest: str) -> None:
        plan = self.api.plan
        if self.headers.get("Authorization"):
            self.reply(400, {"error": "a key was sent to the storage"})
        elif float(rest.partition("until=")[2]) < time.monotonic():
            plan["link"] = 1000.0  # once is enough
            self.reply(403, {"error": "the link has expired"})
        elif plan["broken"]:
            plan["broken"] -= 1
            self.send(200, b"no video", {})
        elif plan["cut"]:
            plan["cut"] -= 1
            self.send(200, self.api.clip, {}, cut=True)
        else:
            self.send(200, self.api.clip, {})

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), headers or {})

    def send(self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
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


class Threads(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def serve(handler: type[Handler]) -> None:
    """Serve until the standard input ends."""
    handler.api = Api(Path(sys.argv[1]).read_bytes())
    serving = Threads(("127.0.0.1", 0), handler)
    print(serving.server_address[1], flush=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(Handler)
