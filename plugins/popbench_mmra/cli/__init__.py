"""The commands that `popbench predictor` gets from this plugin. Nothing heavy is imported before one is called."""
