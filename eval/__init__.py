"""Generation, scoring and the report over held-out cards. Imports only `data_prep`; meets `training` in files."""
