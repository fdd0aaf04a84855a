"""A run directory and its files: run.json, samples.jsonl, and the state of a run.

Takes a plan and a view of its ledger; hands on samples, costs and `Run`. `directory` locks the folder and writes its
files, `run_json` makes and reads run.json, `collect` assembles samples, `samples` writes and reads them, `preflight`
and `cost_estimate` count what is still to do, `heartbeat` and `status` report progress, `shards` and `differences`
compare runs, `votes`, `labels` and `ballot_keys` read what people said, and `redaction` removes what may not be
published.
"""
