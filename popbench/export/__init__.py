"""A run in other formats: `columns` says what a sample becomes, `tables` and `eee` write it, whole or not at all.

`popbench leaderboard build` reads all of them back (`popbench.leaderboard.score_files`).
"""
