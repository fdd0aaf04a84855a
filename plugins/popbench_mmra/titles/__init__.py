"""The predictor `titles`: a sentence embedding of the title and a ridge regression on log2 counts.

Takes any corpus with titles and counts; hands on a folder with weights and card. It is the baseline that predictors of
videos have to beat, and is trained within minutes on a CPU.
"""
