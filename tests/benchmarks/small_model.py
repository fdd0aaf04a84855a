"""How many answers of a real small model are usable drafts: SmolLM2-135M-Instruct, 4-bit, on this machine.

Each prompt is asked once, without re-asks. The model runs in llama-cpp-python's server (`--through server`) or in this
process (`--through transformers`). With `--structured on`, transformers holds answers to the draft's schema, and the
server, which refuses schemas, to JSON of any keys; with `off`, answers are free. A line for each answer says what it
is: `usable`, `copied` (the template's example), `cut` (no draft before the limit of tokens), `no draft`, or why the
call failed. CONTRIBUTING.md says how to install model and server.

    .venv/bin/python tests/benchmarks/small_model.py --prompts 40 --task popcorn --through transformers --structured on
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice, zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import llama_server
import popbench
from popbench.keys import derive_seed
from popbench.planning.config import resolve_config
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.planning.systems import TaskMode
from popbench.prompting.drafts import find_drafts, parse_draft


def spec(through: str, url: str, model: Path, structured: bool, given: argparse.Namespace) -> str:
    """Return the spec of the model."""
    sampling = "" if given.temperature is None else f",temperature={given.temperature}"
    if through == "transformers":
        held = str(structured).lower()
        return (
            f"transformers,model={model},structured={held},max_new_tokens={given.max_tokens},dtype=float32,"
            f"device=cpu{sampling}"
        )
    held = "json_object" if structured else "off"  # this server refuses a schema
    return (
        f"openai,model=smollm2,base_url={url},structured={held},concurrency=1,max_tokens={given.max_tokens}{sampling}"
    )


def chats(plan: Plan, prompts: int) -> Iterator[tuple[popbench.Chat, TaskMode]]:
    """Yield the chats of the first prompts, in turns from each task."""
    (llm,) = plan.llms
    modes = list(plan.task_modes.values())
    turns = zip_longest(*(((mode, prompt) for prompt in plan.prompts[mode.task.name]) for mode in modes))
    for number, (mode, prompt) in enumerate(islice((pair for turn in turns for pair in turn if pair), prompts)):
        shown = plan.shown(mode, prompt, llm)
        seed = derive_seed(0, prompt.task, prompt.id, 0, "write")
        turn, id_ = shown.conversation.turn, f"{number} {prompt.task}/{prompt.id}"
        assert turn is not None
        yield popbench.Chat(id_, turn.messages, seed, turn.schema, prompt.text, shown.references, turn.reasons), mode


def judge(answer: popbench.Completion | popbench.Failure, mode: TaskMode) -> str:
    """Say what an answer is."""
    if isinstance(answer, popbench.Failure):
        return f"failed: {answer.error}"
    if parse_draft(answer.text, answer.reasoning, mode.task.file.draft.title_max_chars, mode.examples) is not None:
        return "usable"
    if find_drafts(answer.text):
        return "copied"
    cut = answer.cut or any(note.startswith("cut at") for note in answer.notes)
    return "cut" if cut else "no draft"


def measure(line: str, given: argparse.Namespace) -> Counter[str]:
    """Ask for all drafts of one model, and print what its answers are."""
    options = {"llm": line, "mode": given.mode, "task": given.task, "corpus": given.corpus}
    plan = make_plan(resolve_config({**options, "stop_after": "write"}))
    found: Counter[str] = Counter()
    with closing(plan):
        asked = {chat.id: (chat, mode) for chat, mode in chats(plan, given.prompts)}
        llm = plan.llms[0].resolved.component
        assert isinstance(llm, popbench.LLM)
        for answer in llm.generate(chat for chat, _ in asked.values()):
            assert not isinstance(answer, popbench.Submitted)
            kind = judge(answer, asked[answer.id][1])
            found[kind] += 1
            used = (answer.usage or {}) if isinstance(answer, popbench.Completion) else {}
            print(f"  {answer.id}: {kind}, {used.get('input')} + {used.get('output')} tokens", flush=True)
            if given.show and isinstance(answer, popbench.Completion):
                print("    " + answer.text.replace("\n", "\n    "), flush=True)
    return found


def main() -> int:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=40, help="prompts, taken from the tasks in turns")
    parser.add_argument("--task", default="popcorn", help="a task or a group, or a task's YAML file")
    parser.add_argument("--mode", default="basic")
    parser.add_argument("--corpus", default="demo", help="where references come from, for a mode that shows them")
    parser.add_argument("--through", choices=["server", "transformers"], action="append", help="default: both")
    parser.add_argument("--structured", choices=["on", "off"], action="append", help="default: both")
    parser.add_argument("--max-tokens", type=int, default=400, help="tokens of an answer, at most")
    parser.add_argument("--temperature", type=float, help="default: the server's or the model's own")
    parser.add_argument("--model", type=Path, help="another GGUF file; a model's folder for --through transformers")
    parser.add_argument("--url", help="the base URL of a server that runs already")
    parser.add_argument("--show", action="store_true", help="print the answers")
    given = parser.parse_args()
    model = given.model or llama_server.model_file()
    if model is None:
        raise SystemExit(f"small_model: {llama_server.lacks_model()}")
    rows = []
    with ExitStack() as stack:
        url = given.url or ""
        for through in given.through or ["server", "transformers"]:
            if through == "server" and not url:
                if lacking := llama_server.lacks_server():
                    raise SystemExit(f"small_model: {lacking}")
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                url = stack.enter_context(llama_server.serving(model, folder / "server.log"))
            for structured in given.structured or ["on", "off"]:
                name = f"{through}, structured {structured}"
                print(name, flush=True)
                started = time.monotonic()
                found = measure(spec(through, url, model, structured == "on", given), given)
                rows.append((name, found, time.monotonic() - started))
    print(f"\n{given.task}, {given.mode}, at most {given.max_tokens} tokens")
    for name, found, seconds in rows:
        others = "; ".join(f"{count} {kind}" for kind, count in found.most_common() if kind != "usable")
        print(f"{name}: {found['usable']} of {found.total()} usable ({others or 'no others'}), {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
