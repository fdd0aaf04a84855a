"""The results of the paper (LLMPopcorn, arXiv 2502.12945): its tables and figures for any run, and a reanalysis.

Takes runs, or the published numbers in `published`; hands on a document. `evidence`, `choices`, `tables`, `figures` and
`report` make `popbench report --paper`; `reanalysis` makes the board in `leaderboards/paper`.
"""
