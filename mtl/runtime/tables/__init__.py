"""Tables of pictures, read strictly from CSV files, and the files that they name."""
