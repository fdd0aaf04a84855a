"""The paper's results (LLMPopcorn, arXiv 2502.12945): its tables and figures from any run, and a reanalysis of its own.

`published` holds its numbers. `reading`, `choices`, `tables`, `figures` and `report` make `popbench report --paper`;
`reanalysis` makes the board in `leaderboards/paper`.
"""
