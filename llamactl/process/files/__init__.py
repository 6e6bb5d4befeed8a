"""What a process holds open: files, sockets, terminals, locks, and who else holds them."""
