"""What an acceptable summary is: one definition for the data that trains and for the summaries that are scored."""
