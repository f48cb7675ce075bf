"""Running the pipeline on a cluster: compiled, sent, operated, and what each container runs."""
