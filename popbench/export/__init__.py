"""A run in other formats: Every Eval Ever, Parquet and JSONL.

Takes a finished run; hands on files, whole or not at all. `columns` says what a sample becomes, `tables` and `eee`
write it. `popbench leaderboard build` reads all of them back (`popbench.scores.score_files`).
"""
