"""Tables of pictures: columns and file names as people write them."""
