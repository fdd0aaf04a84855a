"""A judge: a vision-language model is shown a clip's frames and the user's prompt, over an HTTP chat endpoint."""

import base64
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.request import Request, urlopen

from PIL import Image

import popbench
from popbench.hookspecs import Register
from popbench.video import VideoError, read_frames

PARTS = ("relevance", "motion", "composition", "surprise", "appeal")
QUESTION = "A user asked for: {prompt}\nJudge the clip from -5 (bad) to 5 (good). Answer with a JSON object: {parts}."


class Jury(popbench.Predictor):
    """Asks a vision-language model how well a clip does what the user asked for."""

    version = "1"
    unit = "points"
    scale = "real"
    uses = frozenset({"video", "prompt"})

    class Options(popbench.Options):
        url: str
        model: str = "judge-1"
        frames: int = 4
        concurrency: int = popbench.runtime(8, ge=1, description="calls at once")

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float:
        return (2 * usage.get("input", 0) + 8 * usage.get("output", 0)) / 1e6

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        yield from popbench.concurrently(items, self._ask, limit=self.options.concurrency, retry=popbench.Retry())

    def _ask(self, item: popbench.ScoreRequest) -> popbench.Score | popbench.Failure:
        try:
            frames = read_frames(item.path, self.options.frames)
        except VideoError as error:
            return popbench.Failure(item.id, str(error))
        text = QUESTION.format(prompt=item.prompt, parts=", ".join(PARTS))
        messages = [{"role": "user", "content": [{"type": "text", "text": text}, *map(_picture, frames)]}]
        body = json.dumps({"model": self.options.model, "temperature": 0, "messages": messages}).encode()
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('JURY_API_KEY', '')}"}
        with urlopen(Request(self.options.url, body, head), timeout=600) as response:
            answer = json.load(response)
        usage = {"input": answer["usage"]["prompt_tokens"], "output": answer["usage"]["completion_tokens"]}
        said = answer["choices"][0]["message"]["content"]
        try:
            parts = {name: float(json.loads(said)[name]) for name in PARTS}
        except (ValueError, KeyError, TypeError):
            return popbench.Failure(item.id, f"no judgement: {said}", usage=usage)
        return popbench.Score(item.id, sum(parts.values()) / len(parts), parts=parts, usage=usage)


def _picture(frame: Any) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": url}}


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("jury", Jury)
