"""A mode whose drafts look into a mirror: each is judged by its own author, and written again until it passes."""

from collections.abc import Sequence

import popbench
from popbench.hookspecs import Register


class Mirror(popbench.Mode):
    """Has a draft judged by the LLM that wrote it, and written again until it is found good enough."""

    turns = 3

    class Options(popbench.Options):
        tries: int = 2

    def write(
        self, prompt: popbench.Prompt, references: Sequence[popbench.Reference], ask: popbench.Ask
    ) -> popbench.Writing:
        draft = yield ask.draft()
        for _ in range(self.options.tries):
            shown = f"Title: {draft.title}\nVideo prompt: {draft.video_prompt}"
            verdict = yield ask(f"{prompt.text}\n\n{shown}\n\nIs this good? Answer GOOD, or say what is weak.")
            if "GOOD" in verdict.text:
                break
            again = f"{shown}\n\nWeak: {verdict.text}\n\nWrite it anew, as JSON with title and video_prompt."
            draft = (yield ask.draft([*ask.messages, {"role": "user", "content": again}], required=False)) or draft
        yield draft


@popbench.hookimpl
def register_modes(register: Register) -> None:
    register("mirror", Mirror)
    register("mirror-long", Mirror, tries=5)
