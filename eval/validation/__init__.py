"""How `eval.validate` measures the checks: real cards and faults planted in their summaries, what is counted, the tables."""
