"""From scores to a board: statistics, and the text that shows them.

Takes `Scores`; hands on results (the content of results.json) and leaderboard.md. `results` computes, with `pairs` and
`agreement`; `markdown` and `terminal` show; `run_board` writes the board of a run, and `audit_file` and `audit_text`
put an audit of it there. Nothing here reads a run or asks a component.
"""
