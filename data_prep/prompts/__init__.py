"""The student's and the teacher's prompts, in the form that a tokenizer's template takes."""
