"""Pictures of users: which files, how they are decoded, what is wrong with them."""

from mtl.runtime.pictures.reading import (
    FOREIGN_SUFFIXES,
    Rejected,
    encode_png,
    list_pictures,
    picture_size,
    read_picture,
)

__all__ = [
    "FOREIGN_SUFFIXES",
    "Rejected",
    "encode_png",
    "list_pictures",
    "picture_size",
    "read_picture",
]
