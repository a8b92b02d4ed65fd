"""Reading, cropping and patchifying images; `decode_image` is the only gate they enter by."""
