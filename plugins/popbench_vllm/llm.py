"""The language model of this plugin, as a component."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

import popbench
from popbench.errors import one_line
from popbench.local import GIB, Encoded, Weights, closes_thoughts, file_digest, quiet
from popbench.specs import differing, make_label
from popbench_vllm.checks import LAYOUT, missing, problems
from popbench_vllm.options import EngineOptions

if TYPE_CHECKING:
    from popbench_vllm.engine import Answer, Engine
    from popbench_vllm.reader import Reader


class VLLM(popbench.LLM):
    """Any local model, in vLLM's engine: model=ID.

    Chats are batched as they come and go. So rounding depends on what else is at work, and answers are repeatable only
    with the environment variable VLLM_BATCH_INVARIANT=1, which vLLM supports on some GPUs.
    """

    Options: ClassVar[type[popbench.Options]] = EngineOptions
    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._weights = Weights(self.options.model, self.options.revision, LAYOUT)
        self._engine: Engine | None = None
        self._reader: Reader | None = None
        self._unreadable: str | None = None
        self.repeatable = os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1"

    def label(self) -> str | None:
        """Return the last part of the model's id or path, with the options that are not the defaults."""
        model = self.options.model
        return make_label(PurePath(model).name or model, differing(self.options, {"model": model})).replace("|", "/")

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add the identity of the weights (a hub commit or a hash of the folder) and the chat template's content.

        They replace the paths, so that equal models in different folders have one fingerprint.
        """
        base = dict(super().fingerprint())
        options = dict(self.options.determining())
        if self._weights.local and self._weights.folder is not None:
            del options["model"]
        if self._template is not None:
            del options["chat_template"]
        found = {"options": options, "weights": self._weights.identity, "chat_template": self._template}
        return {**base, **found, **({"batch_invariant": True} if self.repeatable else {})}

    @cached_property
    def _template(self) -> str | None:
        return None if self.options.chat_template is None else file_digest(self.options.chat_template)

    def check(self) -> list[str]:
        """List what is missing: vLLM, the model, GPUs, memory."""
        return list(problems(self.options, self._weights))

    def needs(self) -> popbench.Needs:
        """Return the GPUs that it is spread over, and the memory of its weights."""
        stored = self._weights.stored_bytes or 0
        return popbench.Needs(gpus=self.options.tensor_parallel_size, memory_gb=round(stored / GIB, 1))

    def close(self) -> None:
        """End the engine, which frees the GPUs."""
        self._reader = self._unreadable = None
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        """Return whether messages fit, by the model's own tokenizer and chat template. Weights are not loaded.

        Room is left for `max_tokens`, or for a quarter of the context if that is less. True if the template fails,
        because the call itself reports that. Raises ComponentError if tokenizer or configuration cannot be read.
        """
        reader = self._reading()
        try:
            return reader.fits(messages, self.options.max_tokens)
        except Exception:  # a template may raise anything
            return True

    def _reading(self) -> Reader:
        """Return the reader, read once. An error is kept as well, because a request to the hub may take long."""
        if self._reader is None and self._unreadable is None:
            try:
                from popbench_vllm.reader import read

                self._reader = read(self.options, self._weights)
            except Exception as error:  # files of many kinds raise errors of many kinds
                why = f"its tokenizer and configuration cannot be read: {one_line(error, 200)}"
                self._unreadable = self._weights.problem or f"model {self.options.model}: {why}"
        if self._reader is None:
            raise popbench.ComponentError(str(self._unreadable))
        return self._reader

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Keep up to `concurrency` chats in the engine, and yield each answer when it is finished.

        A chat that does not fit into the context is a Failure. Raises ComponentError if the model cannot be loaded or
        the engine stops.
        """
        engine = self._engine
        try:
            for chat in chats:
                if engine is None:
                    engine = self._engine = self._load()
                failure = self._add(engine, chat)
                if failure is not None:
                    yield failure
                while engine.full:
                    yield from self._finished(engine)
            while engine is not None and engine.busy:
                yield from self._finished(engine)
        finally:
            if engine is not None:
                engine.drop()

    def _load(self) -> Engine:
        """Load the model; raises ComponentError if its files have changed since the fingerprint was taken."""
        if lack := missing() or self._weights.problem:  # `check` may not have been called
            raise popbench.ComponentError(lack)
        reader, what = self._reading(), f"model {self.options.model}"
        if reader.format.problem is not None:
            raise popbench.ComponentError(f"{what}: its chat template cannot be used: {reader.format.problem}")
        if self.options.chat_template is not None and file_digest(self.options.chat_template) != self._template:
            what = f"chat_template {self.options.chat_template}"
        elif not self._weights.changed():
            from popbench_vllm.engine import Engine

            engine = Engine(self.options, self._weights, reader)
            if not self._weights.changed():  # checked again, because loading takes minutes
                return engine
            engine.close()
        raise popbench.ComponentError(f"{what} changed since the run was planned: run the same command again")

    def _add(self, engine: Engine, chat: popbench.Chat) -> popbench.Failure | None:
        try:
            with quiet("transformers"):  # it warns of texts longer than the tokenizer's own limit
                prompt = engine.reader.format.encode(chat.messages)
        except Exception as error:  # a template may raise anything
            what = " ".join(str(error).split()) or type(error).__name__
            return popbench.Failure(chat.id, f"the model's chat template cannot render the messages: {what}")
        room = engine.context - len(prompt.tokens)
        if room < 1:
            count = len(chat.references)
            fewer = f"choose a smaller RAG size (--mode pe,k=N; this chat has {count} references), or "
            return popbench.Failure(
                chat.id,
                f"the prompt has {len(prompt.tokens)} tokens and the model's context {engine.context}: "
                f"{fewer if count else ''}use a model with a longer context",
            )
        refused = engine.add(chat, prompt, min(room, self.options.max_tokens))
        return None if refused is None else popbench.Failure(chat.id, refused)

    def _finished(self, engine: Engine) -> Iterator[popbench.Completion | popbench.Failure]:
        """Compute one token of every chat in the engine; yields the answers that are finished by it."""
        for answer in engine.step():
            yield self._completion(engine, answer)

    def _completion(self, engine: Engine, answer: Answer) -> popbench.Completion | popbench.Failure:
        chat, prompt = answer.chat, answer.prompt
        usage = {"input": len(prompt.tokens), "output": len(answer.tokens)}
        if answer.end not in ("stop", "length"):
            why = f"vLLM ended the request before its answer ({answer.end})"
            return popbench.Failure(chat.id, why, seconds=answer.seconds, usage=usage)
        text = engine.reader.format.decode(answer.tokens)
        thoughts = None
        if prompt.thinking and not closes_thoughts(text):  # a draft inside unfinished thoughts is not the answer
            text, thoughts = "", text.strip()
        cut = answer.end == "length"
        remarks = (self._cut_by(engine, prompt, text),) if cut else ()
        return popbench.Completion(
            chat.id, text, thoughts or None, usage=usage, seconds=answer.seconds, remarks=remarks, cut=cut
        )

    def _cut_by(self, engine: Engine, prompt: Encoded, text: str) -> str:
        """Return which limit cut an answer, in words that are the same for all answers that it cuts."""
        before = "" if text.strip() else " before any answer"
        if engine.context - len(prompt.tokens) < self.options.max_tokens:
            return f"cut at the end of the context{before}: choose a smaller RAG size, or a model with a longer context"
        return f"cut at the limit of tokens{before}: allow more with max_tokens="
