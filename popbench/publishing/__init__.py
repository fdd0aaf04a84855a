"""Published boards: a folder of rules and submissions, from which anybody can build the same leaderboard again.

`board` is the folder, `rules` its board.yaml and `submission` one file of it; `adding` takes a run in after `runs` and
`recorded` have looked at it, `checking` builds everything again and compares, `hub` pushes the numbers to the hub.
"""
