"""What touches the world: transports, drivers, service dialects, and the jobs on top."""
