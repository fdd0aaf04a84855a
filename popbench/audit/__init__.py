"""Audits a predictor: finds out whether a run's scores follow its titles, its videos, or both together.

Takes a finished run and a predictor; hands on audit.json, audit.md and a section of the run's board. `run` scores the
samples again with one thing changed at a time; `clips` makes the changed videos, `scorer` calls the predictor,
`attribution` turns scores into shares of variance, and `novelty` finds samples unlike the predictor's training items.
Nothing is written to the ledger.
"""
