"""The paper's results (LLMPopcorn, arXiv 2502.12945): its tables and figures from any run, and a reanalysis of its own.

Takes runs, or the numbers that the paper printed, which `published` holds; hands on a document. `evidence`, `choices`,
`tables`, `figures` and `report` make `popbench report --paper`; `reanalysis` makes the board in `leaderboards/paper`.
"""
