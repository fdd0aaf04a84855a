"""What moves the scores of a run: its titles, its videos, or what they do together.

`running` scores a run's samples again under changes that take one thing from them at a time; `clips` makes the changed
videos, `scoring` asks the predictor, `attribution` turns scores into shares of variance (`popbench.stats.variance`),
`novelty` tells of samples unlike what the predictor was trained on, `words` says it in sentences, `report` shows it,
and `kept` carries it into the run's later boards. Nothing is written to the ledger.
"""
