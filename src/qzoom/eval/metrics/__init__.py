"""What a reply is worth: as the harnesses say, their traps included, and as one would expect."""
