"""What a run is to do, decided and checked before any work.

Takes options, `--config` and popbench.toml; hands on a `Plan`: components, tasks, modes, systems and their
fingerprints. `config` merges the settings, `foreign_specs` says which of them a file from elsewhere may hold, `resolve`
makes the plan of them, `systems` names who works on what, `human` is the baseline's part, and `leakage` refuses
predictors that judge by what they were trained on.
"""
