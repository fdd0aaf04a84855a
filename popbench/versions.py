"""The versions of popbench and of the packages that results may depend on."""

from __future__ import annotations

__version__ = "0.1.0"


_PACKAGES = (
    "popbench", "torch", "diffusers", "transformers", "sentence-transformers", "faiss-cpu", "scipy", "numpy",
    "datasets", "jinja2", "av", "json-repair", "openai", "accelerate", "tokenizers", "llguidance", "bitsandbytes",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Return the installed versions of popbench and of the packages that results may depend on, by name."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
