"""A loaded vision-language model: answers one chat with pictures at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import transformers as _transformers

import popbench
from popbench.errors import one_line
from popbench.judging import FEWER, PictureChat, picture_of
from popbench.local import ChatFormat, Encoded, closes_thoughts, quiet, release_memory
from popbench_transformers.decoding import Batch
from popbench_transformers.loading import Loaded, load_model, refuse
from popbench_transformers.reader import Reader, opened, read
from popbench_transformers.rows import Row
from popbench_transformers.sampling import Decoding

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions

transformers: Any = _transformers  # much of it is untyped
_PROBE = popbench.Message(role="user", content="Which?")


class Seeing:
    """A model with its processor. Calling it answers a chat."""

    def __init__(self, options: TransformersOptions, weights: Weights) -> None:
        """Load both, from exactly the files of the fingerprint.

        Raises ComponentError if the model does not fit into memory; else what transformers raises.
        """
        refuse(weights)
        self._options = options
        with quiet("transformers"), opened(options, weights) as (source, source_options):
            self._processor = transformers.AutoProcessor.from_pretrained(source, **source_options)
        reader = read(options, weights)
        if options.chat_template is None:  # that of pictures may be with the processor alone
            tokenizer, own = reader.tokenizer, getattr(self._processor, "chat_template", None)
            own = own.get("default") if isinstance(own, dict) else own
            reader = Reader(tokenizer, ChatFormat(tokenizer, own, options.chat_template_kwargs), reader.context)
        model, defaults = load_model(options, weights, transformers.AutoModelForImageTextToText)
        self._loaded = Loaded(model, reader, defaults)
        self._decoding = Decoding.resolve(options, defaults)

    def __call__(self, chat: PictureChat) -> popbench.Completion | popbench.Failure:
        """Answer a chat. One that fits neither the context nor memory is a Failure."""
        row = self._row(chat)
        if isinstance(row, popbench.Failure):
            return row
        batch = Batch(self._loaded, [row], self._decoding)
        for _ in batch.finished():
            pass
        seconds, memory = row.seconds, row.peak_memory_mb
        if batch.out_of_memory:
            release_memory()
            return popbench.Failure(chat.id, f"out of memory: {FEWER}", seconds=seconds)
        if row.error is not None:
            return popbench.Failure(chat.id, row.error, seconds=seconds, peak_memory_mb=memory)
        text, thoughts = self._loaded.format.decode(row.tokens), None
        if row.thinking and not closes_thoughts(text):  # a draft inside unfinished thoughts is not the answer
            text, thoughts = "", text.strip()
        usage = {"input": len(row.prompt), "output": len(row.tokens)}
        return popbench.Completion(
            chat.id, text, thoughts or None, usage, seconds=seconds, peak_memory_mb=memory, cut=row.cut
        )

    def _row(self, chat: PictureChat) -> Row | popbench.Failure:
        loaded, options = self._loaded, self._options
        try:
            with quiet("transformers"):
                inputs = self._encoded(chat)
        except Exception as error:  # templates and processors may raise anything
            return popbench.Failure(chat.id, f"the model's processor cannot take the pictures: {one_line(error, 200)}")
        tokens = inputs.pop("input_ids")[0].tolist()
        inputs.pop("attention_mask", None)
        room = loaded.context - len(tokens)
        if room < 1:
            return popbench.Failure(
                chat.id, f"the prompt has {len(tokens)} tokens and the model's context {loaded.context}: {FEWER}"
            )
        budget = min(room, options.max_new_tokens)
        prompt = self._prompt(tokens)
        row = Row(chat, tokens, budget, thinking=prompt.thinking, inputs=inputs)
        if options.structured and chat.schema:
            try:
                row.guided_by(lambda: loaded.grammars.guide(chat.schema, chat.reasons, prompt, budget))
            except ValueError as error:
                return popbench.Failure(chat.id, str(error))
        return row

    def _encoded(self, chat: PictureChat) -> dict[str, Any]:
        """Return what the model takes: token ids, pictures, and whatever else its processor makes."""
        pictures = iter(chat.pictures)
        messages = [
            {
                "role": message["role"],
                "content": [
                    part if part["type"] == "text" else {"type": "image", "image": picture_of(next(pictures))}
                    for part in message["content"]
                ],
            }
            for message in chat.shown()
        ]
        made = self._processor.apply_chat_template(
            messages,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            **{"chat_template": self._loaded.format.template, **self._options.chat_template_kwargs},
        )
        moved: Mapping[str, Any] = made.to(self._loaded.device, self._loaded.model.dtype)
        return dict(moved)

    def _prompt(self, tokens: list[int]) -> Encoded:
        """Return the prompt with whether it opens a section of thoughts, by what the template does with a text."""
        try:
            with quiet("transformers"):
                probe = self._loaded.format.encode([_PROBE])
        except Exception:  # a template may take pictures only
            return Encoded(tokens)
        return Encoded(tokens, probe.thinking, probe.thought)
