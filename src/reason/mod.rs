//! Prompt strategies: how a question becomes a prompt and a completion becomes an answer.
