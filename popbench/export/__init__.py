"""Exports a run in other formats: Every Eval Ever, Parquet and JSONL.

Takes a finished run; hands on files, whole or not at all. `columns` turns a sample into rows; `tables` and `eee` write
them. `popbench leaderboard build` can read all of them (`popbench.scores.score_files`).
"""
