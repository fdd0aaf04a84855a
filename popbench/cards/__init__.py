"""Cards of predictors: how well one predicts real outcomes of videos that it has not seen.

Takes predictions and real counts, or the card.json of a folder; hands on metrics, the `PredictorCard` that a run keeps
for its boards, and tables. `measure` computes, `card` reads and checks, `text` shows. Public, for plugins too.
"""
