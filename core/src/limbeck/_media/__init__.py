"""Images, audio and documents in messages: what columns hold of them, and the parts of messages made of that."""
