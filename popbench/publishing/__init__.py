"""Published boards: a folder of rules and submissions, from which anybody can build the same leaderboard again.

Takes runs and score files; hands on a board's folder. `add` takes a run in after `run_checks` and `ledger_checks` have
looked at it, `pages` writes the generated files, `check` builds everything again and compares, `build` makes a board
of whatever can be ranked, `lock` keeps a folder to one process, and `hub` pushes the numbers to the hub.
"""
