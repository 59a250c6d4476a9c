"""Training: one engine, and an objective for each kind of target."""
