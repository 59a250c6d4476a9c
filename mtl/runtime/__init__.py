"""Hold what every long job needs: files, progress, memory, threads, caches, a connection to Ray."""
