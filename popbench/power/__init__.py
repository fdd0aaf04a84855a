"""How many prompts and repeats a study needs, before anything is paid for.

Takes the options of an evaluation, an effect and, if there is one, an earlier run; hands on sizes, power and costs.
`study` finds them, by the assumptions and costs that `measured` takes from the earlier run; `curve` draws power over
the number of prompts. The simulation itself is `popbench.stats.power`.
"""
