"""Planning a run: everything that it needs, made and checked before any work starts.

Takes options, `--config` and popbench.toml; hands on a `Plan`: components, tasks, modes, systems and their
fingerprints. `config` merges the settings, `foreign_specs` decides which of them a file from elsewhere may hold, and
`resolve` makes the plan. `systems` defines systems and sample sets, `human` the baseline, and `leakage` finds
predictors that were trained on the videos that they judge by.
"""
