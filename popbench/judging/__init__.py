"""What judges of clips share, whoever runs the vision-language model: rubrics, frames, marks, choices, draws. Public.

A plugin derives from `MarksJudge` or `PairsJudge` and hands `judged`, or `judged_in_turn`, what answers a chat with
pictures; the rest is here: what is shown, asked and read, and how several draws become one score.
"""

from popbench.judging.draws import judged, judged_in_turn
from popbench.judging.judge import FEWER, PicturesJudge
from popbench.judging.marks_judge import MarksJudge
from popbench.judging.options import CriteriaOptions, PairsOptions, PicturesOptions
from popbench.judging.pairs_judge import PairsJudge
from popbench.judging.pictures import PairChat, PictureChat, picture_of

__all__ = [
    "FEWER",
    "CriteriaOptions",
    "MarksJudge",
    "PairChat",
    "PairsJudge",
    "PairsOptions",
    "PictureChat",
    "PicturesJudge",
    "PicturesOptions",
    "judged",
    "judged_in_turn",
    "picture_of",
]
