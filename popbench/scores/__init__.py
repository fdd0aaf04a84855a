"""What can be ranked: rows of scores, from wherever they come.

Takes run directories, published boards, submissions and files of scores; hands on `Scores`, checked so that only what
compares is put together. `sources` tells what a path is, `run_scores`, `score_files`, `eee_files`, `submission` and
`board_folder` read it, and `board_rules` says what a board takes. No statistics are made here.
"""
