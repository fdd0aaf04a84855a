"""A run directory and its files: run.json, samples.jsonl, and what can be told of a run from outside.

Takes a plan and a view of its ledger; hands on samples, costs and `Run`. `directory` holds and locks the folder,
`run_json` describes the run, `collect` assembles samples, `samples` writes and reads them, `preflight` and
`cost_estimate` say what is still to do, `heartbeat` and `status` how far a run is, `shards` and `differences` how two
runs compare, and `redaction` what of one may be published.
"""
