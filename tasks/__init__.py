"""Task folders that come with popbench: YAML files, prompts and templates, no code."""
