"""Compares two runs, to find out whether a change helped.

Takes two run directories, boards or files of scores; hands on paired differences, as numbers and on the terminal.
`compared_pairs` finds what compares, `numbers` computes and `terminal` shows. The first run is called before, the
second after; a win rate is that of after over before.
"""
