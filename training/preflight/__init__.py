"""What is checked before the first step: rows, tokens, memory."""
