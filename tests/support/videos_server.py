"""A server of the video protocol (`/v1/videos`), as a process of its own, with the shapes of several servers.

`python videos_server.py CLIP.mp4`: see `video_api_server`, whose plans it takes, and these:

    form        False: a form without a picture is refused, as by servers that take JSON
    json        False: JSON is refused, as by servers that take forms
    required    fields without which a request is refused
    block       a word in prompts that are refused before there is a job
    redirect    whether clips lie with a storage, which must not be sent a key
    unlinked    looks for a clip that are answered with 404 first
    terse       whether 404 says nothing of videos
    until       the time at which the storage's links end
    lost        creations whose answer is lost
    loaded      503 with Retry-After, instead of 429, where the queue is full
    list        whether all jobs can be listed
    words       a status instead of those of the protocol
    echo        whether errors repeat the key
    made        seconds that a clip is said to have, instead of those it was asked for
"""

from __future__ import annotations

import json
import time
from email.parser import BytesParser
from typing import Any

from video_api_server import Handler, serve

STATUSES = {"running": "in_progress", "succeeded": "completed", "failed": "failed", "refused": "failed"}
ERRORS = {
    "failed": {"code": "server_error", "message": "the worker ran out of memory"},
    "refused": {"code": "moderation_blocked", "message": "the prompt was blocked by the moderation"},
}


class Videos(Handler):
    def post(self, raw: bytes) -> None:
        if self.path != "/v1/videos":
            self.reply(404, {"detail": "Not Found"})
            return
        if not self.allowed("POST"):
            return
        fields, is_form = self.fields(raw)
        if (problem := self.problem(fields, is_form=is_form)) is not None:
            self.reply(*problem)
            return
        asked = {"prompt": fields["prompt"], "seed": fields.get("seed"), "seconds": fields.get("seconds", "4")}
        job = self.api.create(asked, self.headers.get("Idempotency-Key") or "")
        if job is None:
            retry_after = {"Retry-After": str(self.api.plan["retry_after"])}
            self.reply(
                503 if self.api.plan.get("loaded") else 429,
                self.error("the queue of jobs is full", "rate_limit_error"),
                retry_after,
            )
            return
        job["fields"], job["form"] = fields, is_form
        if self.api.plan.get("lost"):
            self.api.plan["lost"] -= 1
            self.close_connection = True
            return
        time.sleep(self.api.plan["slow_reply"])
        self.reply(200, self.described(job))

    def fields(self, raw: bytes) -> tuple[dict[str, Any], bool]:
        kind = str(self.headers.get("Content-Type"))
        if not kind.startswith("multipart/form-data"):
            return json.loads(raw), False
        form = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        given = {}
        for part in form.walk():
            if part.is_multipart():
                continue
            value = part.get_payload(decode=True)
            assert isinstance(value, bytes)
            given[str(part.get_param("name", header="content-disposition"))] = value.decode()
        return given, True

    def problem(self, fields: dict[str, Any], *, is_form: bool) -> tuple[int, Any] | None:
        plan = self.api.plan
        if is_form and not plan.get("form", True):
            return 400, {"detail": "input_reference file is required"}
        if not is_form and not plan.get("json", True):
            return 422, {
                "detail": [{"type": "missing", "loc": ["body", "prompt"], "msg": "Field required, as form data"}]
            }
        lacking = [name for name in plan.get("required", []) if name not in fields]
        if lacking:
            return 400, self.error(f"{lacking[0]} is needed", "invalid_request_error")
        if plan.get("block", "-") in fields["prompt"].split():
            return 400, self.error("the prompt was rejected by the safety system", "moderation_blocked")
        return None

    def error(self, message: str, kind: str) -> Any:
        told = f"{message} (key {self.headers.get('Authorization')})" if self.api.plan.get("echo") else message
        return {"error": {"message": told, "type": kind, "param": None, "code": kind}}

    def described(self, job: dict[str, Any]) -> dict[str, Any]:
        state, seconds = self.api.state(job), self.api.plan.get("made", job["seconds"])
        status = self.api.plan.get("words") or STATUSES[state]
        made = {"id": job["id"], "object": "video", "model": job["fields"].get("model"), "created_at": 1, "error": None}
        made |= {"status": status, "seconds": seconds, "progress": 100 * (state != "running"), "size": "64x48"}
        if state in ERRORS:
            made["error"] = ERRORS[state]
            if self.api.plan.get("echo"):
                made["error"] = {**ERRORS[state], "message": f"{self.headers.get('Authorization')} of no use"}
        return made

    def get(self) -> None:
        if self.allowed("GET"):
            self.answer(self.path.removeprefix("/v1/videos").strip("/"))

    def answer(self, place: str) -> None:
        id_, _, rest = place.partition("/")
        job, plan = self.api.jobs.get(id_), self.api.plan
        if not place and self.path.startswith("/v1/videos") and plan.get("list", True):
            self.reply(200, {"object": "list", "data": [self.described(each) for each in self.api.jobs.values()]})
        elif not self.path.startswith("/v1/videos/"):
            self.reply(404, {"detail": "Not Found"})
        elif job is None:
            self.reply(404, {"detail": "Not Found" if plan.get("terse") else "Video not found"})
        elif rest != "content":
            self.reply(200, self.described(job))
        elif plan.get("unlinked"):
            plan["unlinked"] -= 1
            self.reply(404, {"detail": "no such file"})
        elif plan.get("redirect"):
            port = self.headers["Host"].rpartition(":")[2]
            self.send(302, b"", {"Location": f"http://localhost:{port}/files/{id_}?until={plan.get('until', 1e18)}"})
        elif plan["broken"]:
            plan["broken"] -= 1
            self.send(200, b"no video", {})
        else:
            cut = plan["cut"] > 0
            plan["cut"] -= cut
            self.send(200, self.api.clip, {"Content-Type": "video/mp4"}, cut=cut)


if __name__ == "__main__":
    serve(Videos)
