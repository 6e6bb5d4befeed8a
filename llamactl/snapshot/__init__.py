"""What is: this machine, a process, a file. Nothing here loads an inference engine."""
