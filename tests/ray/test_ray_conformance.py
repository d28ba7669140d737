"""The transport of a real cluster is held to the rules of every transport."""
