"""A local page of all runs and boards under a folder, live while runs are at work. It changes no file.

Takes a folder; hands on, to a browser of this machine, the states, samples and clips of the runs in it. `find` finds
runs and boards, `run_samples` indexes a run's samples, from samples.jsonl (`finished`) or, until that is written, from
the ledger (`at_work`), `watch` looks for what is new, `clips` makes posters, `app` answers requests and `serve` is the
server. Whatever is read may come from a stranger.
"""
