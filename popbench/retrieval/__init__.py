"""References for prompt enhancement: chooses the videos of a corpus that an LLM is shown with a request.

Takes a corpus, an embedder and prompts; hands on references. `retriever` has the steps of the choice; `search` finds
the nearest vectors; `index` is a part of a corpus on disk, sorted for both; `build` makes it from the corpus's rows;
`embedder` checks what an embedder returns; `advice` warns of poor references; `vectors` caches embeddings for all
corpora and runs.
"""

from popbench.retrieval.options import RetrievalOptions
from popbench.retrieval.results import Found, Hit
from popbench.retrieval.retriever import Retriever

__all__ = ["Found", "Hit", "RetrievalOptions", "Retriever"]
