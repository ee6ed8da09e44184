"""Asking a model behind a chat-completions endpoint, each answer kept."""
