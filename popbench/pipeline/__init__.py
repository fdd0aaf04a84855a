"""The work of a run: write drafts, render clips, score them.

Takes a plan, a ledger and an engine; hands on a ledger in which the work is done, and why results are missing.
`pipeline` makes a queue for every component and has them worked off. `stages` says what to ask and what an answer means
for a work item (`items`), `queues` hold the items that wait for a component, `scheduler` decides which components work
at the same time, and `dispatch` asks them and commits their answers (`payloads`), within a `budget` and with the `jobs`
that were submitted before. `ledger_view` decides what counts as done, `take_over` takes what `other_runs` have already,
`references` shows prompts with references, and `human_baseline` stores human-made videos as drafts and clips.
"""
