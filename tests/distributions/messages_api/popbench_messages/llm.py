"""An LLM behind the Messages API, in as few lines as an author needs for it."""

import os
from collections.abc import Iterable, Iterator, Mapping

import requests

import popbench


class Messages(popbench.LLM):
    """Asks a model behind the Messages API; the key is in MESSAGES_API_KEY."""

    version, repeatable = "1", False

    class Options(popbench.Options):
        model: str = "small"
        max_tokens: int = 4096
        url: str = popbench.runtime("https://api.anthropic.com")
        concurrency: int = popbench.runtime(16, ge=1)

    def check(self) -> list[str]:
        return [] if os.environ.get("MESSAGES_API_KEY") else ["no key: set MESSAGES_API_KEY"]

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float:
        return (3 * usage.get("input", 0) + 15 * usage.get("output", 0)) / 1e6

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        return popbench.concurrently(chats, self._ask, limit=self.options.concurrency, retry=popbench.Retry())

    def _ask(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        body = self.options.determining() | {"messages": [each for each in chat.messages if each["role"] != "system"]}
        body["system"] = "\n\n".join(each["content"] for each in chat.messages if each["role"] == "system")
        headers = {"x-api-key": os.environ["MESSAGES_API_KEY"], "anthropic-version": "2023-06-01"}
        response = requests.post(f"{self.options.url}/v1/messages", json=body, headers=headers, timeout=600)
        response.raise_for_status()
        answer = response.json()
        usage = {kind: answer["usage"][f"{kind}_tokens"] for kind in ("input", "output")}
        if answer["stop_reason"] == "refusal":
            return popbench.Failure(chat.id, "the model refused", invalid=True, reason="refusal", usage=usage)
        text = "".join(block.get("text", "") for block in answer["content"])
        return popbench.Completion(chat.id, text, usage=usage, cut=answer["stop_reason"] == "max_tokens")
