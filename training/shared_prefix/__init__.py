"""SFT and preference trainers over one copy of each prompt."""
