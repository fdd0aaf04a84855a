"""A judge: a vision-language model says what it makes of a clip and the user's prompt, over an HTTP chat endpoint."""

import base64
import io
import json
import os
import urllib.request

from PIL import Image

import popbench
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
        usd_per_million: float = popbench.runtime(2.0, ge=0, description="price of a million tokens")
        concurrency: int = popbench.runtime(8, ge=1, description="calls at once")

    def needs(self):
        return popbench.Needs(remote=True)

    def cost(self, usage):
        return sum(usage.values()) * self.options.usd_per_million / 1e6

    def score(self, items):
        yield from popbench.concurrently(items, self._ask, limit=self.options.concurrency, retry=popbench.Retry())

    def _ask(self, item):
        try:
            frames = read_frames(item.path, self.options.frames)
        except VideoError as error:
            return popbench.Failure(item.id, str(error))
        text = QUESTION.format(prompt=item.prompt, parts=", ".join(PARTS))
        content = [{"type": "text", "text": text}, *map(_picture, frames)]
        body = {"model": self.options.model, "temperature": 0, "messages": [{"role": "user", "content": content}]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('JURY_API_KEY', '')}"}
        request = urllib.request.Request(self.options.url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=600) as response:
            answer = json.load(response)
        usage = {"input": answer["usage"]["prompt_tokens"], "output": answer["usage"]["completion_tokens"]}
        said = answer["choices"][0]["message"]["content"]
        try:
            told = json.loads(said)
            parts = {name: float(told[name]) for name in PARTS}
        except (ValueError, KeyError, TypeError):
            return popbench.Failure(item.id, f"no judgement: {said}", usage=usage)
        return popbench.Score(item.id, sum(parts.values()) / len(parts), parts=parts, usage=usage)


def _picture(frame):
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


@popbench.hookimpl
def register_predictors(register):
    register("jury", Jury)
