"""The language model of this plugin, as a component."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

import popbench
from popbench.errors import one_line
from popbench.local import GIB, Weights, closes_thoughts, file_digest, gpu_count, quiet, release_memory
from popbench.specs import make_label
from popbench_transformers import gguf_files
from popbench_transformers.checks import problems
from popbench_transformers.files import LAYOUT
from popbench_transformers.memory import estimate, memory_of
from popbench_transformers.options import TransformersOptions
from popbench_transformers.presets import preset_of

if TYPE_CHECKING:
    from popbench_transformers.batching import Batcher
    from popbench_transformers.loading import Loaded
    from popbench_transformers.reader import Reader
    from popbench_transformers.rows import Row
    from popbench_transformers.sampling import Decoding


class TransformersLLM(popbench.LLM):
    """Any open-weight model, on this machine: model=ID.

    Rows of a batch are sampled each from its own seed; the paper's peak memory and seconds per query (arXiv
    2502.12945, Table 10) are recorded with every answer.
    """

    Options: ClassVar[type[popbench.Options]] = TransformersOptions
    version = "1"

    @classmethod
    def describe(cls, preset: Mapping[str, popbench.JSON]) -> str:
        """Return which model a preset runs, and what it takes."""
        model = preset_of(str(preset.get("model")))
        if model is None:
            return super().describe(preset)
        options = TransformersOptions.model_validate(preset)
        size = memory_of(options, {}, model.parameters, "bfloat16") / GIB
        return f"{model.what} here, in 4 bits; {size:.0f} GiB GPU"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        preset = preset_of(self.options.model)
        if preset is not None:
            self.note = preset.note
        self._gguf = gguf_files.file_of(self.options.model, self.options.gguf_file)
        layout = LAYOUT if self._gguf is None else gguf_files.layout(self._gguf)
        self._weights = Weights(self.options.model, self.options.revision, layout)
        self._loaded: Loaded | None = None
        self._batcher: Batcher | None = None
        self._reader: Reader | None = None
        self._unreadable: str | None = None

    def label(self) -> str | None:
        """Return the last part of the model's id or path, with the options that are not the defaults."""
        if preset_of(self.options.model) is not None:
            return None
        model = PurePath(self.options.model).name or self.options.model
        fields = TransformersOptions.model_fields
        differ = {
            name: value
            for name, value in self.options.determining().items()
            if name != "model" and value != fields[name].default
        }
        return make_label(model, differ).replace("|", "/")

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        """Add the identity of the weights (a hub commit or a hash of the folder) and the chat template's content.

        They replace the paths, so that equal models in different folders have one fingerprint.
        """
        base = dict(super().fingerprint())
        options = dict(self.options.determining())
        if self._weights.local and self._weights.folder is not None:
            del options["model"], options["gguf_file"]
        for name in ("gguf_file", "context"):  # which fingerprints of earlier versions lack
            if options.get(name) is None:
                options.pop(name, None)
        if self._template is not None:
            del options["chat_template"]
        return {**base, "options": options, "weights": self._weights.identity, "chat_template": self._template}

    @cached_property
    def _template(self) -> str | None:
        return None if self.options.chat_template is None else file_digest(self.options.chat_template)

    def check(self) -> list[str]:
        """List what is missing: the model, a package, a GPU, memory."""
        return list(problems(self.options, self._weights))

    def needs(self) -> popbench.Needs:
        """Return the GPUs that it would be spread over, and the memory of its weights."""
        return popbench.Needs(
            gpus=gpu_count(self.options.device), memory_gb=round((estimate(self.options, self._weights) or 0) / GIB, 1)
        )

    def close(self) -> None:
        """Free the model."""
        self._reader = self._unreadable = None
        if self._loaded is None:
            return
        self._loaded = self._batcher = None
        release_memory()

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        """Return whether messages fit, by the model's own tokenizer and chat template. Weights are not loaded.

        Room is left for `max_new_tokens`, or for a quarter of the context if that is less. If a hub model is not on
        this machine yet, its tokenizer and configuration are downloaded, so that prompts are the same before and after
        the download. True if the template fails, because the call itself reports that. Raises ComponentError if
        tokenizer or configuration cannot be read.
        """
        reader = self._reading()
        try:
            return reader.fits(messages, self.options.max_new_tokens)
        except Exception:  # a template may raise anything
            return True

    def _reading(self) -> Reader:
        """Return the reader, read once. An error is kept as well, because a request to the hub may take long."""
        if self._reader is None and self._unreadable is None:
            try:
                from popbench_transformers.reader import read

                self._reader = read(self.options, self._weights)
            except Exception as error:  # some of the many errors have a remedy
                why = f"its tokenizer and configuration cannot be read: {one_line(error, 200)}"
                if self._gguf is not None:
                    why += "; a server such as llama.cpp or Ollama may read it: openai,model=NAME,base_url=URL"
                self._unreadable = self._weights.problem or f"model {self.options.model}: {why}"
        if self._reader is None:
            raise popbench.ComponentError(str(self._unreadable))
        return self._reader

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Answer chats in batches of similar length, each as soon as it is finished.

        A chat that does not fit into the context or into memory is a Failure. Raises ComponentError if the model itself
        does not fit into memory.
        """
        from popbench_transformers.batching import WINDOW, Batcher
        from popbench_transformers.sampling import Decoding

        source = iter(chats)
        window = 1 if self.options.batch_size == 1 else WINDOW
        while taken := list(islice(source, window)):
            if self._loaded is None:
                self._loaded = self._load()
            if self._batcher is None:
                self._batcher = Batcher(self._loaded, self.options.batch_size)
            decoding = Decoding.resolve(self.options, self._loaded.defaults)
            yield from self._answer(self._loaded, self._batcher, decoding, taken)

    def _load(self) -> Loaded:
        """Load the model; raises ComponentError if its files have changed since the fingerprint was taken."""
        from popbench_transformers.loading import load

        what = f"model {self.options.model}"
        if self.options.chat_template is not None and file_digest(self.options.chat_template) != self._template:
            what = f"chat_template {self.options.chat_template}"
        elif not self._weights.changed():
            loaded = load(self.options, self._weights)
            if not self._weights.changed():  # checked again, because loading takes minutes
                return loaded
        raise popbench.ComponentError(f"{what} changed since the run was planned: run the same command again")

    def _answer(
        self, loaded: Loaded, batcher: Batcher, decoding: Decoding, chats: Iterable[popbench.Chat]
    ) -> Iterator[popbench.Completion | popbench.Failure]:
        rows: list[Row] = []
        for chat in chats:
            made = self._row(loaded, chat)
            if isinstance(made, popbench.Failure):
                yield made
            else:
                rows.append(made)
        for row, fits in batcher.run(rows, decoding):
            yield self._finished(loaded, row) if fits else _out_of_memory(row)

    def _row(self, loaded: Loaded, chat: popbench.Chat) -> Row | popbench.Failure:
        from popbench_transformers.rows import Row

        try:
            with quiet("transformers"):  # it warns of texts longer than the tokenizer's own limit
                prompt = loaded.format.encode(chat.messages)
        except Exception as error:  # a template may raise anything
            what = " ".join(str(error).split()) or type(error).__name__
            return popbench.Failure(chat.id, f"the model's chat template cannot render the messages: {what}")
        room = loaded.context - len(prompt.tokens)
        if room < 1:
            return popbench.Failure(
                chat.id,
                f"the prompt has {len(prompt.tokens)} tokens and the model's context {loaded.context}: "
                f"{_advice_on_references(chat)}{'or ' if chat.references else ''}use a model with a longer context",
            )
        budget = min(room, self.options.max_new_tokens)
        row = Row(chat, prompt.tokens, budget, thinking=prompt.thinking)
        if self.options.structured and chat.schema:  # without one, any text may be answered
            try:
                row.guided_by(lambda: loaded.grammars.guide(chat.schema, chat.reasons, prompt, budget))
            except ValueError as error:
                return popbench.Failure(chat.id, str(error))
        return row

    def _finished(self, loaded: Loaded, row: Row) -> popbench.Completion | popbench.Failure:
        if row.error is not None:
            return popbench.Failure(row.chat.id, row.error, seconds=row.seconds, peak_memory_mb=row.peak_memory_mb)
        text = loaded.format.decode(row.tokens)
        thoughts = None
        if row.thinking and not closes_thoughts(text):  # a draft inside unfinished thoughts is not the answer
            text, thoughts = "", text.strip()
        return popbench.Completion(
            row.chat.id,
            text,
            thoughts or None,
            usage={"input": len(row.prompt), "output": len(row.tokens)},
            seconds=row.seconds,
            peak_memory_mb=row.peak_memory_mb,
            remarks=(self._cut_by(row, text),) if row.cut else (),
            cut=row.cut,
        )

    def _cut_by(self, row: Row, text: str) -> str:
        """Return which limit cut an answer, in words that are the same for all answers that it cuts."""
        before = "" if text.strip() else " before any answer"
        if row.budget < self.options.max_new_tokens:
            return f"cut at the end of the context{before}: choose a smaller RAG size, or a model with a longer context"
        return f"cut at the limit of tokens{before}: allow more with max_new_tokens="


def _out_of_memory(row: Row) -> popbench.Failure:
    return popbench.Failure(
        row.chat.id,
        f"out of memory with a prompt of {len(row.prompt)} tokens by itself: {_advice_on_references(row.chat)}"
        "use a smaller max_new_tokens=, quantization=4bit, or more memory",
        seconds=row.seconds,
    )


def _advice_on_references(chat: popbench.Chat) -> str:
    """Return advice to use fewer references, if the chat has any: they make up most of a long prompt."""
    count = len(chat.references)
    return f"choose a smaller RAG size (--mode pe,k=N; this chat has {count} references), " if count else ""
