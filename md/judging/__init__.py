"""What a trajectory or a model is worth: one step, temperatures, structure, spectra, diffusion, failures, and the report."""
