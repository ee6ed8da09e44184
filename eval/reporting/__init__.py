"""The report's page, its plots and tables; metadata for the Hub."""
