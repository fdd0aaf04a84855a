"""The commands that this plugin adds to `popbench predictor`. Heavy libraries are imported when one is called."""
