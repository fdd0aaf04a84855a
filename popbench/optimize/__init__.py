"""Searches for a better prompt for one LLM, generator and predictor, and proves that it is one.

Takes a configuration with one system and a budget; hands on optimize.json, with the lineage and the proof, and a mode
that anybody can use. `search` decides what is tried, by `model` and nothing but scores; `study` turns a candidate into
a mode; `trials` tries it through the pipeline and one ledger; `reflection` asks an LLM for changes; `proof` lets the
chosen candidate meet the start on prompts that the search never saw; `optimize` does all of it, in that order.
"""
