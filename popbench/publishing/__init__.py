"""Published boards: folders of rules and submissions, from which anybody can build the same leaderboard again.

Takes runs and score files; hands on a board's folder. `add` adds a run after `run_checks` and `ledger_checks` checked
it, `pages` writes the generated files, `check` builds everything again and compares, `build` makes a board of anything
that can be ranked, `lock` keeps other processes out of a folder. `hub` pushes folders to the Hugging Face hub:
`hub_board` makes a data set of a board, `hub_predictor` a model of a predictor.
"""
