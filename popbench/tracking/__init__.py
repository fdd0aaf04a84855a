"""Hands finished runs over to experiment trackers: MLflow, Weights & Biases, Trackio, and those of plugins.

Takes a finished run and trackers by their specs; hands on what each tracker says of where the run is now. `describe`
makes of the run's files what trackers get, without credentials and folders of this machine; `track` calls them one
after the other, so that one that fails costs the others nothing.
"""
