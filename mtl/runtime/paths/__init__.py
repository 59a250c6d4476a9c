"""Places of input and output: folders that are searched, files and folders to write."""
