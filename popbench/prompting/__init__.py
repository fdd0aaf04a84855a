"""From a prompt to the messages for an LLM, and from its completion to a draft.

Takes tasks, prompts and references; hands on chats and drafts. `modes` reads `--mode`; `templates` renders messages, in
the `sandbox` that confines a stranger's template; `texts` renders a single text in it, for components; `chats` fits
references to the model's context; `drafts` finds title and video prompt in an answer; `originality` finds drafts that
copy a reference.
"""
