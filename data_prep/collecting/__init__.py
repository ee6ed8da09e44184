"""Cards from the Hub, folders, tables, conversations and references; which are worth a summary."""
