"""One file per picture format and per kind of metadata; `workers.imageio` is the door to them."""
