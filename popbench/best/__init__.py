"""Makes the best clip of one idea: several drafts and clips, their scores, and what the winner's lead is worth.

Takes a text, and the options of `popbench eval`. Hands on a run directory with the winner as best.mp4, best.json and a
page: the run itself is that of a task whose prompts are all this idea, one for each draft.
"""
