"""End-to-end training on human ratings."""
