"""One file per published layout; `registry` names them."""
