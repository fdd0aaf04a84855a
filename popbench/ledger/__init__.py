"""The ledger of a run: the database of finished calls, safe against a kill at any moment.

Takes finished calls and the stages that they settle; hands on both, and sums over them. `ledger` has the rows,
`database` the file, `schema` the tables, `guard` checks what they hold, `sums` are totals kept beside them, and `merge`
adds the rows of another ledger. It knows keys and coordinates of samples, and nothing of plans, prompts or components.
"""
