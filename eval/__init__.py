"""Generation, scoring and the report over held-out cards. Imports only `data_prep`; meets `training` in files."""

import data_prep  # noqa: F401  # tells what is missing with the extra that brings it
