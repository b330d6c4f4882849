"""Training: one loop, in which AMP, processes, resume and logging are parameters."""
