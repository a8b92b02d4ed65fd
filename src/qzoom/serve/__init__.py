"""An OpenAI-compatible server: answers from the zoom engine, safe to expose."""
