"""The work of a run: write drafts, render clips, score them.

Takes a plan, a ledger and an engine; hands on what the ledger holds in the end, and the reasons for what it lacks.
`stages` says what to ask and what follows from an answer; `queues` hold what waits for a component, `scheduler` says
which components work together, `dispatch` asks them and commits answers, `ledger_view` says what counts as done, and
`human_baseline` settles human-made videos in place of drafts and clips.
"""
