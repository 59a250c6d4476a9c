"""Quality models on disk, and predictions with them."""
