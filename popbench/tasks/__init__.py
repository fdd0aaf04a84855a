"""Tasks: YAML files that say where prompts come from, how they are grouped, and which templates exist.

Takes names, files and folders as `--task` gives them; hands on `Task`s with their prompts. `schema` is the file,
`loading` finds and reads it, `datasets` gets its rows, and `task` says which prompts a limit or a shard takes.
"""
