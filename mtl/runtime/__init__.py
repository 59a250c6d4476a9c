"""What every long job needs: files, progress, memory, threads, caches, pictures, Ray."""
