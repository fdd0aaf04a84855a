"""From a prompt to what an LLM is shown, and from its completion to a draft.

Takes tasks, prompts and references; hands on chats and drafts. `modes` reads `--mode`, `templates` renders in
`sandbox`, which a stranger's template does not get out of, `chats` fits references to the model, `drafts` finds title
and video prompt in an answer, and `originality` tells a draft that copies a reference.
"""
