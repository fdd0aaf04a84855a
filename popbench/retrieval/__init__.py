"""References for prompt enhancement: which videos of a corpus an LLM is shown with a request.

`references` has the steps, `search` finds the nearest vectors, `index` holds a corpus ready for both, `building` makes
that from the corpus's rows, and `vectors` keeps what an embedder made of texts, for all corpora and runs.
"""

from popbench.retrieval.found import Found, Hit
from popbench.retrieval.options import RetrievalOptions
from popbench.retrieval.references import Retriever

__all__ = ["Found", "Hit", "RetrievalOptions", "Retriever"]
