"""Whole runs from Python: `popbench.evaluate` and `popbench.merge`.

Takes a configuration, or the shards of a run; hands on a `Run`. `evaluate` makes the plan and takes it through the
pipeline, `merge` joins the ledgers of shards, and both end in `finish`, which writes samples, statistics and board.
"""
