"""Tables and `key: value` lines of a source, and the summary's numbers that they give to another row or column."""
