"""Turns scores into a board: statistics, and text that shows them.

Takes `Scores`; hands on results (the content of results.json) and leaderboard.md. `results` computes the statistics,
with `pairs` and `agreement`; `markdown` and `terminal` show them; `run_board` writes a run's board, and `audit_file`,
`audit_text` and `audit_terminal` add an audit to it; `people_data`, `people` and `people_text` add win rates over
people. Nothing here calls a component.
"""
