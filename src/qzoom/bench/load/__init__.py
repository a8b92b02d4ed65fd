"""Load on a chat endpoint: who asks what and when, and how long the answers took."""
