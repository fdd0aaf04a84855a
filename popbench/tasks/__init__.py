"""Tasks: YAML files that name a data set of prompts, its categories, and templates.

Takes names, files and folders, as `--task` does; hands on each `Task` with its prompts. `schema` defines the file,
`loading` finds and reads tasks, `datasets` loads their rows, and `task` chooses the prompts of a limit or a shard.
"""
