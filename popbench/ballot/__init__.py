"""Asks people which of two clips they would rather watch: makes blind votes from a run, and takes what comes back.

Takes a run directory, and votes that the page has exported. Hands on a page, its key in the run's folder `ballots`, and
the run's `votes.jsonl`, which its board shows as win rates over people.
"""
