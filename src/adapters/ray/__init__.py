"""A Ray cluster as the service: the Jobs API of its head, over HTTP and a stream of its log."""
