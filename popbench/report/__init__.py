"""Shows a run or a board as one page, with tables, charts and, for a run, a gallery of the clips.

Takes results.json and, for a run, samples.jsonl; hands on HTML that loads nothing from the network: styles, scripts and
charts are in it, and videos are files beside it.
"""
