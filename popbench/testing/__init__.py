"""The conformance kit that any plugin author runs."""
