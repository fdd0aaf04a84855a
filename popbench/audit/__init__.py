"""What moves the scores of a run: its titles, its videos, or what they do together.

For whoever wonders what a predictor looks at. Takes a finished run and a predictor; hands on audit.json, audit.md and
a section of the run's board. `run` scores the samples again under changes that take one thing from them at a time;
`clips` makes the changed videos, `scoring` asks the predictor, `attribution` turns scores into shares of variance, and
`novelty` tells of samples unlike what the predictor was trained on. Nothing is written to the ledger.
"""
