"""SFT, alignment and merging of the summariser. Imports only `data_prep`; meets `eval` in files."""
