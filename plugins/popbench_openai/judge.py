"""Judges of clips behind a chat API: for marks, and for the better of two."""

from __future__ import annotations

from popbench.judging import MarksJudge, PairsJudge
from popbench_openai.judge_options import JudgeOptions, PairwiseOptions
from popbench_openai.vision import VisionJudge


class Judge(VisionJudge, MarksJudge):
    """Any vision-language model, for marks from 0 to 10: model=ID.

    Other servers than OpenAI's are named by base_url=URL.
    """

    name = "judge"

    Options = JudgeOptions


class PairwiseJudge(VisionJudge, PairsJudge):
    """Any vision-language model, for the better of two: model=ID.

    It is asked about each pair of systems, both ways round. Other servers than OpenAI's are named by base_url=URL.
    """

    name = "judge-pairwise"

    Options = PairwiseOptions
