"""References for prompt enhancement: which videos of a corpus an LLM is shown with a request.

Takes a corpus, an embedder and prompts; hands on references. `retriever` has the steps, `search` finds the nearest
vectors, `index` holds a corpus ready for both, `build` makes that from the corpus's rows, `embedder` asks for vectors,
and `vectors` keeps what an embedder made of texts, for all corpora and runs.
"""

from popbench.retrieval.options import RetrievalOptions
from popbench.retrieval.results import Found, Hit
from popbench.retrieval.retriever import Retriever

__all__ = ["Found", "Hit", "RetrievalOptions", "Retriever"]
