"""A run or a board as one page: what it found, how sure that is, and the clips themselves.

The page asks nothing of the network: styles, scripts and charts are in it, and videos are files beside it. It is made
from results.json, and from samples.jsonl where the page is that of a run.
"""
