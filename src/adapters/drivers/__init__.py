"""What carries the commands of machines out: a loop, threads, sockets, and the user's callbacks."""
