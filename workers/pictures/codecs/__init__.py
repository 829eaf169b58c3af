"""One file per picture format and per kind of metadata; `workers.pictures.imageio` is the door to them."""
