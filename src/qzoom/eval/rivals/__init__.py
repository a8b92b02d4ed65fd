"""Other ways to look closer, on the same model and under the same budget; one small file each."""
