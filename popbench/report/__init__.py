"""A run or a board as one page: what it found, how sure that is, and the clips themselves.

Takes results.json, and samples.jsonl where the page is that of a run; hands on HTML that asks nothing of the network:
styles, scripts and charts are in it, and videos are files beside it.
"""
