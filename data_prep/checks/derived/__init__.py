"""Numbers that no source states and that follow from what one holds: counts and arithmetic."""
