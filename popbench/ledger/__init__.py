"""The ledger of a run: what is already done, safe against a kill at any moment.

Takes finished calls and what they settle; hands on what is settled, the calls, and sums of both. `ledger` is the
database, `schema` its tables, `guard` what may stand in them, `sums` the counts kept beside them, and `absorb` takes
another run's ledger in. It knows keys and places, and nothing of plans, prompts or components.
"""
