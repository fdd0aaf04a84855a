"""Reads everything that can be ranked into rows of scores.

Takes run directories, published boards, submissions and files of scores; hands on `Scores`, and joins them only if they
compare. `sources` finds out what a path is; `run_scores`, `score_files`, `eee_files`, `submission` and `board_folder`
read it; `board_rules` has the rules of a board. No statistics are computed here.
"""
