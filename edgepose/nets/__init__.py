"""The networks in plain torch, under the parameter names of the official checkpoints."""
