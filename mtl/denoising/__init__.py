"""Training of the network that distortion type 15 uses."""
