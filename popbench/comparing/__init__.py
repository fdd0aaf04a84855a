"""Two runs against each other, for "did my change help".

`pairing` says what compares, `differences` what was changed, `numbers` computes and `terminal` shows. The first run is
called before, the second after; a win rate is that of after over before.
"""
