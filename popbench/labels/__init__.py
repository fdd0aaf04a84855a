"""Takes real outcomes of a run's clips that were posted, such as views, into the run.

Takes a run directory and anybody's table. Hands on the run's `labels.jsonl`, which its board
shows as win rates over people.
"""
