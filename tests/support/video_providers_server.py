"""A server of several providers' video APIs, as a process of its own: Veo, fal, Runway, DashScope and MiniMax.

`python video_providers_server.py CLIP.mp4`: see `video_api_server`, whose plans it takes, and these:

    block       a word in prompts that are rejected before there is a job
    lost        creations whose answer is lost
    odd         whether jobs are created with an answer that tells no id
    locked      whether fal has locked the account: it says so where a result is fetched
    broke       creations that fail with 500
    terse       whether a job that is unknown is answered with 404 alone
    until       the time at which the storage's links end, up to the first that is refused
    withheld    whether the storage refuses all links
    echo        whether errors repeat the key
    elsewhere   another host, where the clips of Veo lie
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from video_api_server import Handler, serve

KEY_HEADERS = {"veo": ("x-goog-api-key", ""), "fal": ("Authorization", "Key "), "": ("Authorization", "Bearer ")}
RAN_OUT, BREAKS = "the worker ran out of memory", "the request breaks the rules of use"
CREATE = {
    r"/v1beta/models/[\w.-]+:predictLongRunning": "veo",
    r"/v2/video_generation": "minimax",
    r"/(?!v1|v2|api)[\w.-]+/[\w.-]+/[\w./-]+": "fal",
    r"/v1/text_to_video": "runway",
    r"/api/v1/services/aigc/video-generation/video-synthesis": "dashscope",
}
LOOK = {
    r"/v1beta/models/[\w.-]+/operations/(?P<id>[\w-]+)": "veo",
    r"/v1beta/files/(?P<id>[\w-]+):download\?alt=media": "veo file",
    r"/(?!v1|v2|api)[\w.-]+/[\w.-]+/requests/(?P<id>[\w-]+)/status": "fal",
    r"/(?!v1|v2|api)[\w.-]+/[\w.-]+/requests/(?P<id>[\w-]+)": "fal result",
    r"/v2/query/video_generation/(?P<id>[\w-]+)": "minimax",
    r"/v1/tasks/(?P<id>[\w-]+)": "runway",
    r"/api/v1/tasks/(?P<id>[\w-]+)": "dashscope",
}


class Providers(Handler):
    provider = ""

    @property
    def plan(self) -> dict[str, Any]:
        return self.api.plan

    def post(self, raw: bytes) -> None:
        found = next((name for form, name in CREATE.items() if re.fullmatch(form, self.path)), None)
        self.provider = found or "runway"
        if found is None:
            self.fail(404, "Not Found")
            return
        if not self.admitted("POST"):
            return
        body = json.loads(raw)
        asked = self.asked(body)
        if self.plan.get("block", "-") in asked["prompt"].split():
            self.fail(400, "Prompt rejected: it violates our usage guidelines and safety policy")
        elif self.plan.get("broke"):
            self.plan["broke"] -= 1
            self.fail(500, "no worker")
        elif (job := self.api.create(asked, self.headers.get("Idempotency-Key") or "")) is None:
            self.fail(
                429, "too many jobs at a time: quota of the account", {"Retry-After": str(self.plan["retry_after"])}
            )
        else:
            job["body"], job["path"] = body, self.path
            self.made(job)

    def made(self, job: dict[str, Any]) -> None:
        if self.plan.get("lost"):
            self.plan["lost"] -= 1
            self.close_connection = True
            return
        time.sleep(self.plan["slow_reply"])
        model = job["path"].rpartition("/")[2].partition(":")[0]
        job["name"] = f"models/{model}/operations/{job['id']}"
        answers: dict[str, dict[str, Any]] = {
            "veo": {"name": job["name"]},
            "fal": {"status": "IN_QUEUE", "request_id": job["id"], "queue_position": 0},
            "runway": {"id": job["id"]},
            "dashscope": {"output": {"task_id": job["id"], "task_status": "PENDING"}, "request_id": "r"},
            "minimax": {"task_id": job["id"]},
        }
        self.reply(200, {"hello": 1} if self.plan.get("odd") else answers[self.provider])

    def asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what a request asks for, whatever its provider calls it."""
        if self.provider == "veo":
            body = {"prompt": body["instances"][0]["prompt"], **body.get("parameters", {})}
        elif self.provider == "dashscope":
            body = {**body["input"], **body.get("parameters", {})}
        elif self.provider == "minimax":
            body = {**body, "prompt": body["content"][0]["text"]}
        prompt = body.get("promptText") or body["prompt"]
        seconds = body.get("durationSeconds") or body.get("duration")
        return {"prompt": prompt, "seed": body.get("seed"), "seconds": seconds}

    def echoed(self, message: str) -> str:
        return f"{message} ({self.plan['key']})" if self.plan.get("echo") else message

    def admitted(self, method: str) -> bool:
        """Say whether a request may be answered, as `allowed` does: every provider sends its key in its own way."""
        self.api.asked.append(f"{method} {self.path}")
        header, start = KEY_HEADERS.get(self.provider, KEY_HEADERS[""])
        if self.headers.get(header) != f"{start}{self.plan['key']}":
            self.fail(401, "unknown key")
        elif method in self.plan["down"]:
            self.fail(503, "overloaded")
        elif method in self.plan["replies"]:
            self.reply(*self.plan["replies"][method])
        else:
            return True
        return False

    def fail(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Answer with an error in the provider's form."""
        message = self.echoed(message)
        bodies: dict[str, Any] = {
            "veo": {"error": {"code": status, "message": message, "status": "A_STATUS"}},
            "fal": {"detail": message},
            "runway": {"error": message},
            "dashscope": {"code": "A.Code", "message": message, "request_id": "r"},
            "minimax": {"type": "error", "error": {"type": "an_error", "message": message}},
        }
        self.reply(status, bodies[self.provider], headers)

    def get(self) -> None:
        found = [(name, match[1]) for form, name in LOOK.items() if (match := re.fullmatch(form, self.path))]
        kind, id_ = found[0] if found else ("runway", "")
        self.provider = kind.partition(" ")[0]
        if not self.admitted("GET"):
            return
        job = self.api.jobs.get(id_)
        if job is None and self.provider == "dashscope":
            self.reply(200, {"request_id": "r", "output": {"task_id": id_, "task_status": "UNKNOWN"}})
        elif job is None and self.provider == "minimax":
            self.fail(500, "record not found")
        elif job is None:
            self.fail(404, "Not Found" if self.plan.get("terse") else f"The job {id_} was not found")
        else:
            {
                "veo": self.veo,
                "veo file": self.content,
                "fal": self.fal,
                "fal result": self.fal_result,
                "runway": self.runway,
                "dashscope": self.dashscope,
                "minimax": self.minimax,
            }[kind](job)

    def content(self, job: dict[str, Any]) -> None:
        self.send(200, self.api.clip, {"Content-Type": "video/mp4"})

    def file(self, rest: str) -> None:
        if self.plan.get("withheld"):
            self.reply(403, {"error": "AccessDenied"})
            return
        super().file(rest)
        if float(rest.partition("until=")[2]) < time.monotonic():
            self.plan.pop("until")

    def link(self, job: dict[str, Any]) -> str:
        return f"http://{self.headers['Host']}/files/{job['id']}?until={self.plan.get('until', 1e18)}"

    def veo(self, job: dict[str, Any]) -> None:
        state = self.api.state(job)
        host = self.plan.get("elsewhere") or f"http://{self.headers['Host']}"
        uri = f"{host}/v1beta/files/{job['id']}:download?alt=media"
        outcome: dict[str, Any] = {
            "running": {},
            "failed": {"done": True, "error": {"code": 13, "message": self.echoed(RAN_OUT)}},
            "refused": {
                "done": True,
                "response": {
                    "generateVideoResponse": {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [BREAKS]}
                },
            },
            "succeeded": {
                "done": True,
                "response": {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}},
            },
        }
        self.reply(200, {"name": job["name"], **outcome[state]})

    def fal(self, job: dict[str, Any]) -> None:
        state = self.api.state(job)
        if state == "running":
            self.reply(202, {"status": "IN_PROGRESS", "request_id": job["id"], "logs": None})
            return
        error = {"error": self.echoed(RAN_OUT), "error_type": "runner_server_error"} if state == "failed" else {}
        self.reply(200, {"status": "COMPLETED", "request_id": job["id"], "metrics": {"inference_time": 1.5}, **error})

    def fal_result(self, job: dict[str, Any]) -> None:
        state = self.api.state(job)
        if self.plan.get("locked"):
            self.fail(403, "User is locked. Reason: Exhausted balance.")
        elif state == "succeeded":
            self.reply(200, {"video": {"url": self.link(job), "content_type": "video/mp4"}, "seed": job["seed"]})
        elif state == "refused":
            detail = {"loc": ["body", "prompt"], "msg": BREAKS, "type": "content_policy_violation", "input": {}}
            self.reply(422, {"detail": [detail]})
        else:
            self.reply(500, {"detail": RAN_OUT})

    def runway(self, job: dict[str, Any]) -> None:
        outcome: dict[str, Any] = {
            "running": {"status": "THROTTLED"},
            "failed": {
                "status": "FAILED",
                "failure": self.echoed(RAN_OUT),
                "failureCode": "INTERNAL.BAD_OUTPUT.CODE01",
            },
            "refused": {"status": "FAILED", "failure": BREAKS, "failureCode": "SAFETY.INPUT.TEXT"},
            "succeeded": {"status": "SUCCEEDED", "output": [self.link(job)]},
        }
        made = {"id": job["id"], "createdAt": "2026-11-30T10:00:00.000Z"}
        self.reply(200, {**made, **outcome[self.api.state(job)]})

    def dashscope(self, job: dict[str, Any]) -> None:
        outcome: dict[str, Any] = {
            "running": {"task_status": "RUNNING"},
            "failed": {"task_status": "FAILED", "code": "InternalError", "message": self.echoed(RAN_OUT)},
            "refused": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": BREAKS},
            "succeeded": {"task_status": "SUCCEEDED", "video_url": self.link(job), "orig_prompt": job["prompt"]},
        }
        state = self.api.state(job)
        usage = {"usage": {"duration": job["seconds"], "video_count": 1, "SR": 720}} if state == "succeeded" else {}
        self.reply(200, {"request_id": "r", "output": {"task_id": job["id"], **outcome[state]}, **usage})

    def minimax(self, job: dict[str, Any]) -> None:
        outcome: dict[str, Any] = {
            "running": {"status": "running"},
            "failed": {"status": "failed", "error": {"code": "1000", "message": self.echoed(RAN_OUT)}},
            "refused": {"status": "failed", "error": {"code": "1026", "message": BREAKS}},
            "succeeded": {"status": "succeeded", "content": {"url": self.link(job)}, "duration": job["seconds"]},
        }
        self.reply(200, {"task": {"id": job["id"], "model": "MiniMax-H3", **outcome[self.api.state(job)]}})


if __name__ == "__main__":
    serve(Providers)
