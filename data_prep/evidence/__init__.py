"""Where the source bears out what a summary says: places for each number, name, licence and link of it, and a plan made of them."""
