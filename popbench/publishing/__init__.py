"""Published boards: folders of rules and submissions, from which anybody can build the same leaderboard again.

Takes runs and score files; hands on a board's folder. `add` adds a run after `run_checks` and `ledger_checks` checked
it, as the submission that `run_submission` makes; `duplicates` says what the board has of it already, and `variants`
how many were tried. `withdraw` takes systems off. `pages` writes the generated files, `check` builds everything again
and compares, `board_diff` compares two boards. `build` makes a board of anything that can be ranked, `merged` of
boards; `lock` keeps other processes out of a folder. `hub` pushes folders to the Hugging Face hub: `hub_board` makes a
data set of a board, `hub_predictor` a model of a predictor.
"""
